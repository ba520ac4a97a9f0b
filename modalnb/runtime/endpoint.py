"""One web endpoint in its container: the app, and the leases under which it answers requests.

An input of an endpoint is a lease on one slot.  The container dials the gateway that asked for
it, shows the secret that came with the input, and answers requests until the gateway lets go.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from modalnb import tunnel
from modalnb.exception import ConnectionError
from modalnb.runtime import asgi, context
from modalnb.runtime.lifespan import Lifespan
from modalnb.runtime.webapps import build_app
from modalnb.tunnel import Channel
from modalnb.websettings import WebSettings

#: Where a gateway is found: ``host`` its machine, ``path`` its socket there, ``address`` and
#: ``port`` for other machines, if it listens for them.
Place = dict[str, Any]


class Endpoint:
    """The app of one web function or method, while its container runs."""

    def __init__(self, raw: Callable[..., Any], settings: WebSettings) -> None:
        self._raw = raw
        self._settings = settings
        #: Connections without a lease, by the socket of their gateway.
        self._idle: dict[str, list[Channel]] = {}

    async def start(self) -> None:
        """Build the app, under the loop that it will run on, and let it start up."""
        tunnel.allow_connections()
        self._app = build_app(self._raw, self._settings)
        self._lifespan = Lifespan(self._app)
        await self._lifespan.start()

    async def stop(self) -> None:
        """Let the app shut down."""
        await self._lifespan.stop()
        for channels in self._idle.values():
            for channel in channels:
                channel.close()

    async def serve(self, place: Place, secret: bytes) -> int:
        """One input: answer the requests of its lease; returns how many there were."""
        try:
            channel = await self._enter(place)
        except OSError as error:
            raise ConnectionError(
                f"The container cannot reach the web gateway: {error}."
            ) from error
        count = 0
        try:
            channel.write(tunnel.TAKE, secret)
            while True:
                kind, payload = await channel.next()
                if kind == tunnel.OPEN:
                    await self._answer(channel, payload)
                    count += 1
                elif kind == tunnel.RELEASE or channel.is_closed:
                    break
                # Anything else is what the app has not read of the last request.
        except BaseException:
            channel.close()
            raise
        if not channel.is_closed:
            self._idle[place["path"]].append(channel)
        return count

    async def _answer(self, channel: Channel, payload: tunnel.Buffer) -> None:
        scope, body, has_more = tunnel.unpack(payload)
        scope["headers"] = list(scope["headers"])
        scope["state"] = self._lifespan.state.copy()
        if scope["type"] == "http":
            channel.put_first(tunnel.DATA if has_more else tunnel.LAST, body)
        now = context.current.get()
        if now is not None and now.run is not None:
            # Each request has the whole timeout, and its own duration.
            now.run.started = time.perf_counter()
        await asgi.answer(self._app, channel, scope)

    async def _enter(self, place: Place) -> Channel:
        """A connection to the gateway: one of earlier leases, or a new one."""
        idle = self._idle.setdefault(place["path"], [])
        while idle:
            channel = idle.pop()
            if not channel.is_closed:
                return channel
        loop = asyncio.get_running_loop()
        if place["address"] is None or place["host"] == socket.gethostname():
            _, channel = await loop.create_unix_connection(Channel, place["path"])
            return channel
        worker = context.home().worker
        security = worker.security.get_connection_args("worker").get("ssl_context")
        _, channel = await loop.create_connection(
            Channel, place["address"], place["port"], ssl=security
        )
        return channel
