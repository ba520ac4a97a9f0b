"""Whatever is sent, the gateway lives on, and nothing reaches a container but clean requests."""

from __future__ import annotations

import contextlib
import re
import socket

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.conftest import Url

#: What a request can be put together from, right and wrong.
LINES = st.sampled_from(
    [
        b"GET /site/fragile HTTP/1.1\r\n",
        b"POST /site/fragile HTTP/1.1\r\n",
        b"GET /site/fragile HTTP/9.9\r\n",
        b"GET\t/site/fragile\tHTTP/1.1\r\n",
        b"GET http://elsewhere.test/site/fragile HTTP/1.1\r\n",
        b"CONNECT elsewhere.test:443 HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET /%zz/%00/../../site/fragile HTTP/1.1\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ]
)
HEADERS = st.sampled_from(
    [
        b"host: x\r\n",
        b"host: a\r\nhost: b\r\n",
        b"content-length: 5\r\n",
        b"content-length: -1\r\n",
        b"content-length: 5, 6\r\n",
        b"content-length: 99999999999999999999\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding : chunked\r\n",
        b"transfer-encoding:\x0bchunked\r\n",
        b"x-folded: a\r\n b\r\n",
        b"x-bare: a\n",
        b"x-nul: a\x00b\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"x" * 5000 + b": 1\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n",
        b"sec-websocket-key: short\r\nsec-websocket-version: 99\r\n",
        b"expect: 100-continue\r\n",
        b"x-forwarded-prefix: //evil.test/\r\n",
    ]
)
BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;ext=1\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n",
        b"zz\r\nhello\r\n",
        b"ffffffffffffffff\r\nhello",
        b"5\r\nhelloGET /site/fragile HTTP/1.1\r\n\r\n",
        b"0\r\n\r\nGET /site/fragile HTTP/1.1\r\nhost: x\r\n\r\n",
    ]
)


def _talk(target: httpx.URL, *pieces: bytes, is_ended: bool = False) -> bytes:
    """Send pieces; returns what comes back soon, a reset connection being an answer too."""
    answer = b""
    with (
        socket.create_connection((target.host, target.port or 80), timeout=10) as talk,
        contextlib.suppress(OSError),
    ):
        for piece in pieces:
            talk.sendall(piece)
        if is_ended:
            talk.shutdown(socket.SHUT_WR)
        talk.settimeout(0.5)
        while piece := talk.recv(65536):
            answer += piece
    return answer


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(line=LINES, headers=st.lists(HEADERS, max_size=4), body=BODIES)
def test_malformed_requests_do_no_harm(
    url: Url, line: bytes, headers: list[bytes], body: bytes
) -> None:
    target = httpx.URL(url("fragile"))
    answer = _talk(target, line, b"".join(headers), b"\r\n", body, is_ended=True)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
    assert b"Traceback" not in answer


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.binary(max_size=400))
def test_noise_does_no_harm(url: Url, data: bytes) -> None:
    _talk(httpx.URL(url("fragile")), data, is_ended=True)


def test_gateway_lives_on(client: httpx.Client, url: Url) -> None:
    assert client.get(url("fragile")).status_code == 200


SMUGGLED = b"GET /site/api/echo?smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 6\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        b"content-length: 0\r\ncontent-length: %d\r\n" % len(SMUGGLED),
        b"content-length: +6\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding : chunked\r\n",
        b"x: y\r\n transfer-encoding: chunked\r\n",
    ],
)
def test_ambiguous_framing_is_refused(client: httpx.Client, url: Url, head: bytes) -> None:
    """Nobody may take one request for two, or two for one."""
    assert client.get(url("api/echo")).status_code == 200
    target = httpx.URL(url("api/echo"))
    start = b"POST " + target.raw_path + b" HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n"
    answer = _talk(target, start + b"0\r\n\r\n" + SMUGGLED)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400"]
    assert b"smuggled" not in answer


def test_bare_line_feeds_and_folded_headers_do_not_reach_apps(
    client: httpx.Client, url: Url
) -> None:
    assert client.get(url("api/echo")).status_code == 200
    target = httpx.URL(url("api/echo"))
    line = b"GET " + target.raw_path + b" HTTP/1.1\r\nhost: x\r\n"
    for bad in (b"x-a: 1\nx-b: 2\r\n\r\n", b"x-a: 1\r\n x-b: 2\r\n\r\n", b"x-a: 1\rx-b: 2\r\n\r\n"):
        answer = _talk(target, line + bad)
        assert b"x-b" not in re.findall(rb'\["([^"]+)"', answer)


def test_pipelined_requests_are_answered_in_order(client: httpx.Client, url: Url) -> None:
    assert client.get(url("api/echo")).status_code == 200
    target = httpx.URL(url("api/echo"))
    requests = b"".join(
        b"GET %b?n=%d HTTP/1.1\r\nhost: x\r\n\r\n" % (target.raw_path, n) for n in range(5)
    )
    answer = _talk(target, requests)
    assert re.findall(rb'"query":"n=(\d)"', answer) == [b"0", b"1", b"2", b"3", b"4"]
