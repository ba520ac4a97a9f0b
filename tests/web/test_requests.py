"""Requests and responses of an ASGI app in a container, as a client sees them."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import modalnb
from modalnb.api import current
from modalnb.web.relay import MAX_BODY
from tests.web.conftest import Url

Wait = Callable[..., None]


def _log(client: httpx.Client, url: Url) -> list[str]:
    events: list[str] = client.get(url("api/log")).json()
    return events


def test_app_sees_the_request_mounted_at_its_url(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("api/echo?a=1&b=%20"), headers={"x-mine": "1"})
    seen = answer.json()
    assert seen["root_path"] == "/site/api"
    assert seen["path"] == "/site/api/echo"
    assert seen["query"] == "a=1&b=%20"
    assert seen["url"] == str(answer.request.url)
    assert ["x-mine", "1"] in seen["headers"]
    assert seen["state"] == "yes"
    assert seen["input_id"].startswith("in-")


def test_app_sees_forwarded_headers(client: httpx.Client, url: Url) -> None:
    headers = {"x-forwarded-for": "10.0.0.9", "x-forwarded-proto": "https"}
    seen = client.get(url("api/echo"), headers=headers).json()
    assert ["x-forwarded-for", "10.0.0.9, 127.0.0.1"] in seen["headers"]
    assert ["x-forwarded-prefix", "/site/api"] in seen["headers"]
    assert seen["url"].startswith("https://")


def test_app_behind_a_proxy_is_mounted_below_its_prefix(client: httpx.Client, url: Url) -> None:
    """As jupyter-server-proxy has it: the prefix is stripped from the path and told apart."""
    headers = {"x-forwarded-prefix": "/user/ada/proxy/8000"}
    seen = client.get(url("api/echo"), headers=headers).json()
    assert seen["root_path"] == "/user/ada/proxy/8000/site/api"
    assert seen["path"] == "/user/ada/proxy/8000/site/api/echo"


@pytest.mark.parametrize("prefix", ["nonsense", "//evil.test", "/a b", "/" + "x" * 2000])
def test_prefix_that_is_no_path_is_ignored(client: httpx.Client, url: Url, prefix: str) -> None:
    seen = client.get(url("api/echo"), headers={"x-forwarded-prefix": prefix}).json()
    assert seen["root_path"] == "/site/api"


def test_path_keeps_its_encoding(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("api/nothing/a%2Fb%20c"))
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


def test_host_names_a_function(client: httpx.Client, url: Url) -> None:
    base = httpx.URL(url("api"))
    headers = {"host": f"site--api.localhost:{base.port}"}
    seen = client.get(base.copy_with(path="/echo"), headers=headers).json()
    assert seen["root_path"] == ""
    assert seen["path"] == "/echo"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_method_and_body_pass(client: httpx.Client, url: Url, method: str) -> None:
    seen = client.request(method, url("api/echo"), content=b"\x00\xff body").json()
    assert seen["method"] == method
    assert seen["body"] == "\x00\xff body"


def test_head_has_headers_and_no_body(client: httpx.Client, url: Url) -> None:
    answer = client.head(url("api/echo"))
    assert answer.status_code == 405
    assert answer.content == b""


def test_hop_by_hop_headers_stay_on_their_connection(client: httpx.Client, url: Url) -> None:
    sent = {"connection": "x-only-here, keep-alive", "x-only-here": "1", "te": "trailers"}
    seen = client.get(url("api/echo"), headers=sent).json()
    names = {name for name, _ in seen["headers"]}
    assert not names & {"connection", "x-only-here", "te", "keep-alive"}
    answer = client.get(url("api/headers"))
    assert "x-secret" not in answer.headers
    assert "keep-alive" not in answer.headers
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_keys_of_the_gateway_do_not_reach_apps(client: httpx.Client, url: Url) -> None:
    seen = client.get(url("api/echo"), headers={"modal-key": "k", "modal-secret": "s"}).json()
    assert not any(name.startswith("modal-") for name, _ in seen["headers"])


def test_large_body_arrives_whole(client: httpx.Client, url: Url) -> None:
    def pieces() -> Any:
        for _ in range(64):
            yield b"x" * 2**18

    assert client.post(url("api/size"), content=pieces()).json() == {"size": 2**24}
    assert client.post(url("api/size"), content=b"y" * 2**24).json() == {"size": 2**24}


@pytest.mark.parametrize("sizes", [[3, 5], [1] * 200, [0, 70_000, 1], [2**20, 1, 2**20]])
def test_pieces_arrive_in_order(client: httpx.Client, url: Url, sizes: list[int]) -> None:
    pieces = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    answer = client.post(url("api/mirror/"), content=iter(pieces))
    assert answer.content == b"".join(pieces)


def test_large_response_arrives_whole(client: httpx.Client, url: Url) -> None:
    with client.stream("GET", url(f"api/bytes/{2**25}")) as answer:
        assert sum(len(piece) for piece in answer.iter_bytes()) == 2**25


@pytest.mark.timeout(400)
def test_largest_bodies_pass_without_being_held(
    client: httpx.Client, url: Url, site: modalnb.App
) -> None:
    """Neither the gateway nor the container ever has more than a part of them."""
    mib = MAX_BODY >> 20
    client.get(url("bulk/0"))
    (container,) = site.registered_functions["bulk"].snapshot().containers
    pids = [current.session().gateway._process.pid, container.pid]
    before = [_peak_mib(pid) for pid in pids]
    piece = b"x" * 2**18
    headers = {"content-length": str(MAX_BODY)}
    sent = client.post(url("bulk"), content=(piece for _ in range(4 * mib)), headers=headers)
    assert sent.text == str(MAX_BODY)
    with client.stream("GET", url(f"bulk/{mib}")) as answer:
        assert sum(len(piece) for piece in answer.iter_raw()) == MAX_BODY
    for pid, peak in zip(pids, before, strict=True):
        assert _peak_mib(pid) - peak < 24


def _peak_mib(pid: int | None) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kib) // 1024


def test_body_that_is_not_read_does_no_harm(client: httpx.Client, url: Url) -> None:
    for _ in range(3):
        assert client.post(url("api/fail"), content=b"x" * 2**20).status_code == 405
        assert client.get(url("api/echo")).json()["body"] == ""


def test_streams_run_both_ways_at_once(url: Url) -> None:
    """The second piece is sent only after the first one has come back."""
    target = httpx.URL(url("api/mirror/"))
    with socket.create_connection((target.host, target.port or 80), timeout=10) as talk:
        head = f"POST {target.path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        talk.sendall(head.encode())
        seen = b""
        for word in (b"first", b"second"):
            talk.sendall(b"%x\r\n%b\r\n" % (len(word), word))
            while word not in seen:
                seen += talk.recv(4096) or pytest.fail("the connection has ended")
        talk.sendall(b"0\r\n\r\n")
        while not seen.endswith(b"0\r\n\r\n"):
            seen += talk.recv(4096) or pytest.fail("the connection has ended")


def test_events_arrive_one_by_one(client: httpx.Client, url: Url) -> None:
    with client.stream("GET", url("api/events")) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        times = [time.monotonic() for line in answer.iter_lines() if line]
    assert len(times) == 3
    assert times[2] - times[0] > 0.05


def test_app_hears_of_a_client_that_left(client: httpx.Client, url: Url, wait_until: Wait) -> None:
    with client.stream("GET", url("api/forever")) as answer:
        next(answer.iter_bytes())
    wait_until(lambda: "forever ends" in _log(client, url))


def test_app_that_goes_on_without_its_client_is_cancelled(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.get(url("api/slow?seconds=60"), timeout=0.3)
    # Before the timeout of the function, which is 2 s, would do it.
    wait_until(lambda: "slow was cancelled" in _log(client, url))
    wait_until(lambda: site.registered_functions["api"].snapshot().running == 0)


def test_error_of_the_app_is_a_500(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("api/fail"))
    assert answer.status_code == 500
    assert "on purpose" not in answer.text


def test_response_that_breaks_off_is_no_whole_response(client: httpx.Client, url: Url) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(url("api/break"))


def test_background_task_holds_its_lease(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    assert client.get(url("api/background")).text == "answered"
    assert site.registered_functions["api"].snapshot().running >= 1
    wait_until(lambda: "background ends" in _log(client, url))


def test_requests_count_as_inputs(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    function = site.registered_functions["api"]
    before = function.snapshot().done
    for _ in range(20):
        client.get(url("api/echo"))
    wait_until(lambda: function.snapshot().done >= before + 20)


# -- the gateway's own answers -------------------------------------------------------------


def test_unknown_path_names_what_there_is(client: httpx.Client, url: Url) -> None:
    answer = client.get(httpx.URL(url("api")).copy_with(path="/site/nothing"))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/site/api" in answer.json()["functions"]


def test_root_lists_the_functions(client: httpx.Client, url: Url) -> None:
    answer = client.get(httpx.URL(url("api")).copy_with(path="/"))
    assert 'href="/site/api/"' in answer.text
    assert 'href="/site/double/"' in answer.text
    assert client.post(answer.url).status_code == 404


def test_page_without_slash_is_sent_on_and_a_program_is_not(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("api"), params={"x": "1"}, headers={"accept": "text/html"})
    assert answer.status_code == 307
    assert answer.headers["location"] == "/site/api/?x=1"
    assert client.get(url("api")).json() == {"detail": "Not Found"}


def test_curl_agrees(url: Url) -> None:
    line = ["curl", "-s", "-i", "--http1.1", url("api/echo"), "-d", "a=1"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert text.startswith("HTTP/1.1 200 OK")
    assert '"body":"a=1"' in text
