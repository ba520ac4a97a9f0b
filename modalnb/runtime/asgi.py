"""Runs an ASGI app on one request that came through the tunnel."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modalnb import tunnel
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
    """One HTTP request and its response: what the app receives and sends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._has_started = False
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
        if self.is_complete:
            raise RuntimeError(f"Unexpected ASGI message '{event['type']}': the response is over.")
        if event["type"] == "http.response.start":
            if self._has_started:
                raise RuntimeError("The response has been started already.")
            self._has_started = True
            head = (event["status"], [(bytes(n), bytes(v)) for n, v in event.get("headers", ())])
            self._channel.write(tunnel.START, tunnel.pack(head))
        elif event["type"] == "http.response.body":
            if not self._has_started:
                raise RuntimeError("A response begins with 'http.response.start'.")
            has_more = event.get("more_body", False)
            self._channel.write(tunnel.DATA if has_more else tunnel.LAST, event.get("body", b""))
            if not has_more:
                self.is_complete = True
                # An app that still listens for its client hears that there is nothing to wait for.
                self._channel.put(tunnel.GONE)
        else:
            self._channel.write(tunnel.EVENT, tunnel.pack(event))
        await self._channel.drain()


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
    exchange = (WebSocketExchange if scope["type"] == "websocket" else HttpExchange)(channel)
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


async def _run(
    app: App, scope: MutableMapping[str, Any], exchange: HttpExchange | WebSocketExchange
) -> bytes:
    try:
        await app(scope, exchange.receive, exchange.send)
    except Exception:
        traceback.print_exc()
        return FAILED
    if not exchange.is_complete:
        sys.stderr.write("The ASGI app returned without completing its response.\n")
        return FAILED
    return b""
