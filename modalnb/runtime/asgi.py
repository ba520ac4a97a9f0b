"""Runs an ASGI app on one request that came through the tunnel."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modalnb import tunnel
from modalnb.payload.failure import users_part
from modalnb.tunnel import Channel

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

#: How long an app may go on after its client has disconnected, before it is cancelled.
GRACE_SECONDS = 1.0
#: The largest message of a WebSocket, in either direction; Modal's own limit.
MAX_MESSAGE = 2 * 2**20

#: The payload of a ``DONE`` frame when the app did not end well.
FAILED = b"failed"


class HttpExchange:
    """One HTTP request and its response: what the app receives and sends.

    Parameters
    ----------
    channel : Channel
        The connection to the gateway.
    can_trail : bool
        Whether headers may follow the body.
    """

    def __init__(self, channel: Channel, *, can_trail: bool = False) -> None:
        self._channel = channel
        self._can_trail = can_trail
        self._has_started = False
        self._has_trailers = False
        self._is_gone = False
        self.is_complete = False

    async def receive(self) -> Event:
        """The next event for the app."""
        if self.is_complete or self._is_gone:
            return {"type": "http.disconnect"}
        kind, payload = await self._channel.next()
        if kind in (tunnel.DATA, tunnel.LAST):
            body, has_more = bytes(payload), kind == tunnel.DATA
            return {"type": "http.request", "body": body, "more_body": has_more}
        self._is_gone = True
        return {"type": "http.disconnect"}

    async def send(self, event: Event) -> None:
        """Pass on an event of the app."""
        kind = event["type"]
        if self.is_complete:
            raise RuntimeError(f"Unexpected ASGI message '{kind}': the response is over.")
        if kind == "http.response.start":
            self._start(event)
        elif kind == "http.response.body":
            self._send_body(event)
        else:
            self._channel.write(tunnel.EVENT, tunnel.pack(event))
            if kind == "http.response.trailers" and not event.get("more_trailers", False):
                self._complete()
        await self._channel.drain()

    def _start(self, event: Event) -> None:
        if self._has_started:
            raise RuntimeError("The response has been started already.")
        self._has_started = True
        self._has_trailers = self._can_trail and event.get("trailers", False)
        headers = [(bytes(n), bytes(v)) for n, v in event.get("headers", ())]
        head = (event["status"], headers, self._has_trailers)
        self._channel.write(tunnel.START, tunnel.pack(head))

    def _send_body(self, event: Event) -> None:
        if not self._has_started:
            raise RuntimeError("A response begins with 'http.response.start'.")
        has_more = event.get("more_body", False)
        # Bytes of its own, since what an app may change later is not sent at once.
        body = bytes(event.get("body", b""))
        self._channel.write(tunnel.DATA if has_more else tunnel.LAST, body)
        if not has_more and not self._has_trailers:
            self._complete()

    def _complete(self) -> None:
        self.is_complete = True
        # An app that still listens for its client hears that there is nothing to wait for.
        self._channel.put(tunnel.GONE)


class WebSocketExchange:
    """One WebSocket: what the app receives and sends."""

    is_complete = True

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def receive(self) -> Event:
        """The next event for the app."""
        kind, payload = await self._channel.next()
        if kind == tunnel.EVENT:
            return tunnel.unpack(payload)  # type: ignore[no-any-return]
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(self, event: Event) -> None:
        """Pass on an event of the app."""
        size = len(event.get("bytes") or event.get("text") or "")
        if size > MAX_MESSAGE:
            raise ValueError(
                f"A WebSocket message may have {MAX_MESSAGE >> 20} MiB; got {size:,} bytes. "
                "Send it in several messages."
            )
        self._channel.write(tunnel.EVENT, tunnel.pack(event))
        await self._channel.drain()


async def answer(app: App, channel: Channel, scope: MutableMapping[str, Any]) -> None:
    """Let the app answer one request, and tell the gateway that it has returned, and how."""
    loop = asyncio.get_running_loop()
    exchange = _exchange(channel, scope)
    # A task of its own: what the app leaves in context variables must not reach the next request.
    task = loop.create_task(_run(app, scope, exchange))
    timers: list[asyncio.TimerHandle] = []
    channel.on_gone = lambda: timers.append(loop.call_later(GRACE_SECONDS, task.cancel))
    try:
        outcome = await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        outcome = FAILED
    finally:
        channel.on_gone = None
        for timer in timers:
            timer.cancel()
    channel.write(tunnel.DONE, outcome)


def _exchange(
    channel: Channel, scope: MutableMapping[str, Any]
) -> HttpExchange | WebSocketExchange:
    if scope["type"] == "websocket":
        return WebSocketExchange(channel)
    extensions = scope.get("extensions") or ()
    return HttpExchange(channel, can_trail="http.response.trailers" in extensions)


async def _run(
    app: App, scope: MutableMapping[str, Any], exchange: HttpExchange | WebSocketExchange
) -> bytes:
    try:
        await app(scope, exchange.receive, exchange.send)
    except Exception as error:
        traceback.print_exception(error.with_traceback(users_part(error.__traceback__)))
        return FAILED
    if not exchange.is_complete:
        sys.stderr.write("The ASGI app returned without completing its response.\n")
        return FAILED
    return b""
