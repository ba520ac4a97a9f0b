"""Passes a WebSocket on to the container that has its lease, in both directions."""

from __future__ import annotations

import asyncio
from typing import Any

from modalnb import tunnel
from modalnb.tunnel import Channel
from modalnb.web.asgi import Receive, Send
from modalnb.web.leases import Lease, LeaseBook
from modalnb.web.relay import ClientGoneError, wind_down
from modalnb.web.replies import ProblemError

#: Close codes of RFC 6455.
NORMAL, BROKEN, RESTARTED = 1000, 1011, 1012


class SocketRelay:
    """One WebSocket, from its handshake to its end."""

    def __init__(self, book: LeaseBook, receive: Receive, send: Send) -> None:
        self._book = book
        self._receive = receive
        self._send = send
        self._is_accepted = False
        self._is_refused = False
        self._is_closed = False

    async def run(self, passed_on: dict[str, Any]) -> None:
        """Have the app talk with the client until one of them ends it.

        Raises
        ------
        ProblemError
            If there is no container for it, or the app does not accept it.
        """
        await self._receive()
        up = asyncio.ensure_future(self._receive())
        lease = await self._wait_lease(up)
        channel = lease.channel
        assert channel is not None
        channel.write(tunnel.OPEN, tunnel.pack((passed_on, b"", False)))
        channel.write(tunnel.EVENT, tunnel.pack({"type": "websocket.connect"}))
        reader = asyncio.ensure_future(self._pass_up(channel, up))
        is_over = False
        try:
            outcome = await self._pass_down(channel)
            is_over = True
        finally:
            reader.cancel()
            up.cancel()
            if not is_over:
                wind_down(self._book, lease)
        if outcome is None:
            self._book.lose(lease)
        else:
            self._book.give_back(lease)
        await self._end(outcome)

    async def _wait_lease(self, up: asyncio.Future[Any]) -> Lease:
        lease = self._book.take()
        if lease is not None:
            return lease
        future = self._book.ask()
        try:
            await asyncio.wait([future, up], return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise ClientGoneError
            return future.result()
        except BaseException:
            self._book.forget(future)
            up.cancel()
            raise

    async def _pass_up(self, channel: Channel, event: asyncio.Future[Any]) -> None:
        while True:
            message = await event
            channel.write(tunnel.EVENT, tunnel.pack(message))
            if message["type"] == "websocket.disconnect":
                self._is_closed = True
                channel.write(tunnel.GONE)
                return
            await channel.drain()
            event = asyncio.ensure_future(self._receive())

    async def _pass_down(self, channel: Channel) -> bytes | None:
        """Pass on what the app sends; how it ended, or None if the container is lost."""
        while True:
            kind, payload = await channel.next()
            if kind == tunnel.DONE:
                return bytes(payload)
            if kind != tunnel.EVENT:
                return None
            event = tunnel.unpack(payload)
            await self._pass_event(event)

    async def _pass_event(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if self._is_closed:
            return
        if kind == "websocket.accept":
            self._is_accepted = True
        elif kind == "websocket.close":
            self._is_accepted = self._is_closed = True
        elif kind.startswith("websocket.http.response"):
            self._is_refused = True
        try:
            await self._send(event)
        except OSError:
            # The client has left; the app hears of it from the other direction.
            self._is_closed = True

    async def _end(self, outcome: bytes | None) -> None:
        """Say how it ended, if the app has not."""
        if self._is_refused or self._is_closed:
            return
        if not self._is_accepted:
            if outcome is None:
                raise ProblemError(502, f"`{self._book.name}` lost its container. Try again.")
            raise ProblemError(500, f"`{self._book.name}` did not accept the WebSocket.")
        code = RESTARTED if outcome is None else BROKEN if outcome else NORMAL
        await self._send({"type": "websocket.close", "code": code})
