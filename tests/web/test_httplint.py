"""Every kind of response, judged by h11's framing and by httplint, the rules behind REDbot."""

from __future__ import annotations

import socket
from collections.abc import Callable

import h11
import httpx
import pytest
from httplint import HttpResponseLinter
from httplint.note import levels

Url = Callable[[str], str]
Pairs = list[tuple[str, str]]


def _exchange(url: httpx.URL, method: str, headers: Pairs, body: bytes) -> list[h11.Event]:
    """One request, and the events of its response."""
    client = h11.Connection(h11.CLIENT)
    target = url.raw_path.decode()
    request = h11.Request(
        method=method, target=target, headers=[("host", url.netloc.decode()), *headers]
    )
    events: list[h11.Event] = []
    with socket.create_connection((url.host, url.port or 80), timeout=20) as talk:
        talk.sendall(client.send(request) or b"")
        if body:
            talk.sendall(client.send(h11.Data(body)) or b"")
        if len(body) == int(dict(headers).get("content-length", 0)):
            talk.sendall(client.send(h11.EndOfMessage()) or b"")
        while not events or not isinstance(events[-1], h11.EndOfMessage):
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(talk.recv(65536))
            else:
                assert isinstance(event, h11.Event)
                events.append(event)
    return events


def _lint(method: str, events: list[h11.Event]) -> tuple[int, list[str]]:
    """The status, and what httplint finds bad."""
    linter = HttpResponseLinter(no_content=method == "HEAD")
    for event in events:
        if isinstance(event, h11.Response):
            status = event.status_code
            linter.process_response_topline(
                b"HTTP/" + event.http_version, str(status).encode(), event.reason
            )
            linter.process_headers(event.headers.raw_items())
        elif isinstance(event, h11.Data):
            linter.feed_content(bytes(event.data))
    linter.finish_content(True)
    return status, [str(note.summary) for note in linter.notes if note.level is levels.BAD]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "api/echo", [], b"", 200),
        ("HEAD", "twice/?n=2", [], b"", 405),
        ("OPTIONS", "api/echo", [], b"", 200),
        ("POST", "api/size", [("content-length", "3")], b"abc", 200),
        ("GET", "api/events", [], b"", 200),
        ("GET", "api/bytes/200000", [], b"", 200),
        ("POST", "twice/?n=2", [("content-length", "0")], b"", 200),
        ("GET", "flask_app/", [], b"", 200),
        ("GET", "program/", [], b"", 200),
        ("GET", "api/fail", [], b"", 500),
        ("GET", "api", [("accept", "text/html")], b"", 307),
        ("GET", "locked", [], b"", 401),
        ("POST", "api/size", [("content-length", str(2**40))], b"", 413),
        ("POST", "api/size", [("content-length", "5")], b"", 408),
        ("GET", "api/slow?seconds=9", [], b"", 504),
    ],
)
def test_response_keeps_the_rules_of_http(
    url: Url,
    method: str,
    path: str,
    headers: Pairs,
    body: bytes,
    status: int,
) -> None:
    events = _exchange(httpx.URL(url(path)), method, headers, body)
    assert _lint(method, events) == (status, [])


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/site/nothing", 404), ("/x", 404)])
def test_own_pages_keep_the_rules_of_http(url: Url, path: str, status: int) -> None:
    events = _exchange(httpx.URL(url("api")).copy_with(path=path), "GET", [], b"")
    assert _lint("GET", events) == (status, [])
