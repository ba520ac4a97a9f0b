"""The limits of web requests, and what clients hear of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import httpx

import modalnb
from tests.web.conftest import Url

Start = Callable[..., str]


def _raw(url: str, data: bytes) -> bytes:
    """Send bytes as they are; returns all that comes back."""
    target = httpx.URL(url)
    with socket.create_connection((target.host, target.port or 80), timeout=20) as talk:
        talk.sendall(data)
        answer = b""
        while piece := talk.recv(65536):
            answer += piece
    return answer


def test_rate_is_limited_after_a_burst(client: httpx.Client, url: Url, open_gateway: Start) -> None:
    base = open_gateway(rate=2)
    answers = [client.get(f"{base}/site/fragile") for _ in range(15)]
    codes = [answer.status_code for answer in answers]
    assert codes[:10] == [200] * 10
    assert codes.count(429) >= 2
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["maximum"] == 2


def test_rate_shows_in_the_snapshot(
    client: httpx.Client, open_gateway: Start, site: modalnb.App, wait_until: Any
) -> None:
    base = open_gateway(rate=1000)

    def used() -> float:
        client.get(f"{base}/site/fragile")
        gauges = [g for p in site.snapshot().pools for g in p.gauges if "web" in g.name]
        return max((gauge.current for gauge in gauges if gauge.maximum == 1000), default=0.0)

    wait_until(lambda: used() > 1)


def test_body_that_does_not_begin_is_a_408(url: Url) -> None:
    target = httpx.URL(url("api/size"))
    head = f"POST {target.path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"
    answer = _raw(str(target), head.encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


def test_too_large_body_is_a_413(url: Url) -> None:
    target = httpx.URL(url("api/size"))
    head = (
        f"POST {target.path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        f"content-length: {4 * 2**30 + 1}\r\n\r\n"
    )
    assert _raw(str(target), head.encode()).startswith(b"HTTP/1.1 413 ")


def test_too_large_head_is_a_431(url: Url) -> None:
    target = httpx.URL(url("api/echo"))
    start = f"GET {target.path} HTTP/1.1\r\nhost: x\r\n".encode()
    pieces = b"".join(b"x-%d: %b\r\n" % (n, b"y" * 1000) for n in range(80))
    assert _raw(str(target), start + pieces).startswith(b"HTTP/1.1 431 ")


def test_timeout_of_the_function_is_a_504(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("api/slow?seconds=30"))
    assert answer.status_code == 504
    assert answer.json()["detail"] == "`api` took longer than its timeout."


def test_timeout_holds_for_each_request(client: httpx.Client, url: Url) -> None:
    """Requests that share a lease do not share its time."""
    for _ in range(5):
        assert client.get(url("api/slow?seconds=0.8")).status_code == 200


def test_full_queue_is_a_503_that_names_the_limit() -> None:
    """In an engine of its own, whose limits are small."""
    code = """
        import json, threading, time
        import httpx
        import modalnb as modal
        from modalnb.api import current
        from modalnb.cluster import session

        current.use(session.start_embedded({"pending": 3}))
        app = modal.App("full")

        @app.function(max_containers=1)
        @modal.asgi_app()
        def slow():
            import asyncio
            async def web(scope, receive, send):
                if scope["type"] == "lifespan":
                    raise NotImplementedError
                await asyncio.sleep(1)
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"x"})
            return web

        with app.run():
            url = slow.get_web_url()
            codes = []
            def get():
                answer = httpx.get(url, timeout=60)
                codes.append(answer.status_code)
                if answer.status_code == 503:
                    print(json.dumps([answer.json(), dict(answer.headers)]), flush=True)
            first = threading.Thread(target=get)
            first.start()
            while slow.snapshot().running == 0:
                time.sleep(0.02)
            threads = [threading.Thread(target=get) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in [first, *threads]:
                thread.join()
            print(json.dumps(sorted(codes)))
        current.close()
    """
    line = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120)
    *refusals, codes = [json.loads(text) for text in done.stdout.splitlines()]
    assert codes == [200] * 4 + [503] * 2
    problem, headers = refusals[0]
    assert problem["limit"] == "pending inputs"
    assert (problem["current"], problem["maximum"]) == (3, 3)
    assert problem["function"] == "slow"
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "1"


def test_slow_answer_is_fetched_at_another_url(
    client: httpx.Client, url: Url, open_gateway: Start
) -> None:
    """As Modal has it, if that is asked for: 303, as often as it takes."""
    base = f"{open_gateway(redirect=0.3)}/site/fragile"
    first = client.post(f"{base}/late?1", content=b"body")
    assert first.status_code == 303
    assert first.headers["location"].startswith("/site/fragile/late?__modalnb_result=")
    answer = client.post(f"{base}/late?1", content=b"body", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.text.isdigit()
    assert len(answer.history) >= 2
    gone = client.get(str(answer.history[1].url))
    assert gone.status_code == 404
    assert client.get(base).status_code == 200


def test_failure_of_a_slow_answer_arrives_there_too(
    client: httpx.Client,
    url: Url,
    open_gateway: Start,
    site: modalnb.App,
    wait_until: Callable[..., None],
) -> None:
    base = f"{open_gateway(redirect=0.3)}/site/api"
    answer = client.get(f"{base}/slow?seconds=30", follow_redirects=True)
    assert answer.status_code == 504
    wait_until(lambda: site.registered_functions["api"].snapshot().running == 0)
