"""The way of one request through the tunnel, between any server and an app, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from modalnb.runtime.endpoint import Endpoint
from modalnb.web.leases import LeaseBook
from modalnb.web.lounge import Lounge
from modalnb.web.patrol import Patrol
from modalnb.web.relay import WATCH_SECONDS, AbortError, Relay
from modalnb.web.replies import ProblemError
from modalnb.web.routes import Route
from modalnb.websettings import WebSettings
from tests.web.test_leases import FakeStub

App = Callable[[Any, Any, Any], Awaitable[None]]
SETTINGS = WebSettings(kind="asgi_app")
TRAILERS: dict[str, Any] = {"http.response.trailers": {}}


class Plane(FakeStub):
    """Has each input worked on at once."""

    def __init__(self, endpoint: Endpoint, lounge: Lounge) -> None:
        super().__init__()
        self.serving: list[asyncio.Future[int]] = []
        self._endpoint = endpoint
        self._lounge = lounge

    def send(self, op: str, **fields: Any) -> None:
        super().send(op, **fields)
        secret = self.inboxes[fields["call_id"]].secret
        serving = self._endpoint.serve(self._lounge.place, secret)
        self.serving.append(asyncio.ensure_future(serving))


async def _answer(
    app: App, extensions: dict[str, Any] | None = None, body: Sequence[bytes] = ()
) -> list[dict[str, Any]]:
    """What a server with these extensions is told to send for one request."""

    async def hold(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan"
        await app(scope, receive, send)

    endpoint, lounge = Endpoint(lambda: hold, SETTINGS), Lounge()
    await endpoint.start()
    await lounge.open()
    plane: Any = Plane(endpoint, lounge)
    route = Route(
        app="a", name="web", pool_id="ap/web", method="serve", web=SETTINGS, single_use=True
    )
    book = LeaseBook(plane, "ap/web", route, lounge.place, lounge.by_secret, print)
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop(0)

    scope = {"type": "http", "method": "POST", "path": "/", "extensions": extensions or {}}
    try:
        relay = Relay(book, Patrol(WATCH_SECONDS), scope, receive, send)
        if body:
            await relay.read_first()
        await relay.run({**scope, "headers": []})
        await asyncio.gather(*plane.serving)
    finally:
        await endpoint.stop()
        lounge.close()
    return sent


async def _with_trailers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"some"})
    for name, has_more in ((b"x-sum", True), (b"x-time", False)):
        pair = (name, b"1")
        await send({"type": "http.response.trailers", "headers": [pair], "more_trailers": has_more})


def test_trailers_reach_a_server_that_can_send_them() -> None:
    sent = asyncio.run(_answer(_with_trailers, TRAILERS))
    assert [event["type"].rpartition(".")[2] for event in sent] == [
        "start",
        "body",
        "trailers",
        "trailers",
    ]
    assert sent[0]["trailers"] is True
    assert [event["headers"] for event in sent[2:]] == [((b"x-sum", b"1"),), ((b"x-time", b"1"),)]
    assert [event["more_trailers"] for event in sent[2:]] == [True, False]


def test_trailers_that_a_server_cannot_send_are_an_error_of_the_app(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As with the server itself; the response is whole without them."""
    sent = asyncio.run(_answer(_with_trailers))
    assert [event["type"] for event in sent] == ["http.response.start", "http.response.body"]
    assert "trailers" not in sent[0]
    assert "Unexpected ASGI message 'http.response.trailers'" in capsys.readouterr().err


def test_trailers_that_were_announced_and_do_not_come_break_the_response_off() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"some"})

    with pytest.raises(AbortError):
        asyncio.run(_answer(app, TRAILERS))


def test_body_that_the_app_changes_afterwards_arrives_as_it_was() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = bytearray(b"before")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        body[:] = b"behind"
        await send({"type": "http.response.body", "body": b""})

    sent = asyncio.run(_answer(app))
    assert b"".join(bytes(event["body"]) for event in sent[1:]) == b"before"


def test_body_that_grows_above_the_limit_is_a_413(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was sent in chunks, so that nobody knew its size."""
    monkeypatch.setattr("modalnb.web.relay.MAX_BODY", 10)
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            event = await receive()
            seen.append(event["type"])
            if event["type"] == "http.disconnect":
                raise OSError("the client has gone")

    with pytest.raises(ProblemError, match="10 bytes") as caught:
        asyncio.run(_answer(app, body=[b"x" * 6, b"x" * 4, b"x"]))
    assert caught.value.status == 413
    assert seen == ["http.request", "http.request", "http.disconnect"]
