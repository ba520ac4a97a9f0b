"""Each kind of web function: FastAPI endpoints, WSGI apps and programs on a port."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import httpx
import psutil
import pytest

import modalnb
from modalnb import exception
from modalnb.web.keys import KeyRing
from tests.web.conftest import Url

Wait = Callable[..., None]


# -- endpoints -----------------------------------------------------------------------------


def test_endpoint_answers_at_its_label(client: httpx.Client, url: Url) -> None:
    address = url("twice")
    assert address.endswith("/site/double")
    assert client.post(address, params={"n": 4}).json() == {"twice": 8}
    assert client.post(address, params={"n": "x"}).status_code == 422


def test_endpoint_answers_one_method_only(client: httpx.Client, url: Url) -> None:
    assert client.get(url("twice")).status_code == 405


def test_endpoint_has_docs_only_if_asked(
    client: httpx.Client, url: Url, keys: tuple[str, str]
) -> None:
    assert "swagger" in client.get(url("twice/docs")).text.lower()
    assert client.get(url("twice/openapi.json")).json()["paths"]["/"]["post"]
    headers = {"modal-key": keys[0], "modal-secret": keys[1]}
    assert client.get(url("locked/docs"), headers=headers).status_code == 404


def test_endpoint_allows_every_origin(client: httpx.Client, url: Url) -> None:
    headers = {"origin": "http://elsewhere.test", "access-control-request-method": "POST"}
    answer = client.options(url("twice"), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "http://elsewhere.test")
    answer = client.post(url("twice"), params={"n": 1}, headers={"origin": "http://x.test"})
    assert answer.headers["access-control-allow-origin"] in ("*", "http://x.test")


# -- keys ----------------------------------------------------------------------------------


def test_locked_function_needs_a_key(client: httpx.Client, url: Url, keys: tuple[str, str]) -> None:
    key, secret = keys
    good = {"modal-key": key, "modal-secret": secret}
    assert client.get(url("locked"), headers=good).json() == "inside"
    for bad in (
        {},
        {"modal-key": key},
        {"modal-key": key, "modal-secret": secret + "x"},
        {"modal-key": "wk-other", "modal-secret": secret},
        {"modal-key": secret, "modal-secret": key},
    ):
        answer = client.get(url("locked"), headers=bad)
        assert answer.status_code == 401
        assert answer.json()["status"] == 401


def test_revoked_key_no_longer_opens(client: httpx.Client, url: Url, ring: KeyRing) -> None:
    key, secret = ring.new("short-lived")
    headers = {"modal-key": key, "modal-secret": secret}
    assert client.get(url("locked"), headers=headers).status_code == 200
    ring.revoke(key)
    assert client.get(url("locked"), headers=headers).status_code == 401


# -- WSGI ----------------------------------------------------------------------------------


def test_wsgi_app_is_mounted_at_its_url(client: httpx.Client, url: Url) -> None:
    seen = client.get(url("flask_app")).json()
    assert seen["path"] == "/"
    assert seen["here"] == "/site/flask_app/"
    assert seen["input_id"].startswith("in-")


def test_wsgi_app_reads_bodies_of_both_framings(client: httpx.Client, url: Url) -> None:
    assert client.post(url("flask_app"), content=b"known").json()["body"] == "known"


def test_wsgi_app_streams(client: httpx.Client, url: Url) -> None:
    with client.stream("GET", url("flask_app/stream")) as answer:
        assert list(answer.iter_lines()) == ["0", "1", "2"]


# -- programs ------------------------------------------------------------------------------


def test_program_answers(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("program/a%20b?c=d"))
    assert answer.text.endswith(" /a%20b?c=d")
    assert client.post(url("program"), content=b"known length").text == "known length"
    pieces = (piece for piece in (b"in ", b"pieces"))
    assert client.post(url("program"), content=pieces).text == "in pieces"


def test_program_that_dies_takes_its_container_along(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    function = site.registered_functions["program"]
    first = client.get(url("program")).text.split()[0]
    (container,) = function.snapshot().containers
    with pytest.raises(httpx.HTTPError):
        # The program dies on each try, until the gateway gives up.
        client.get(url("program/die"), timeout=1.0)
    wait_until(
        lambda: (
            container.container_id not in {c.container_id for c in function.snapshot().containers}
        )
    )
    assert client.get(url("program")).text.split()[0] != first


def test_program_leaves_with_its_container(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    client.get(url("program"))
    wait_until(lambda: not site.registered_functions["program"].snapshot().containers)
    wait_until(lambda: not _programs())


def _programs() -> list[psutil.Process]:
    """The processes of the program that are there."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("class Handler" in word for word in process.info["cmdline"] or ())
    ]


def test_program_of_a_container_that_was_killed_is_killed(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    client.get(url("program"))
    (container,) = site.registered_functions["program"].snapshot().containers
    assert container.pid is not None
    programs = _programs()
    assert programs
    os.kill(container.pid, signal.SIGKILL)
    wait_until(lambda: not any(program.is_running() for program in programs))


# -- local use -----------------------------------------------------------------------------


def test_web_function_runs_locally(site: modalnb.App) -> None:
    assert site.registered_functions["twice"].local(3) == {"twice": 6}


@pytest.mark.parametrize("call", ["remote", "spawn", "map", "remote_gen", "for_each"])
def test_web_function_is_not_called_by_a_method(site: modalnb.App, url: Url, call: str) -> None:
    function = site.registered_functions["twice"]
    with pytest.raises(exception.InvalidError, match=f"called by HTTP at {url('twice')}"):
        list(getattr(function, call)([1]) or ())
