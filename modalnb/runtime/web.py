"""A web function in its container: the app, and the leases under which it answers requests.

An input of a web function is a lease on one slot.  The container dials the gateway that asked for
it, shows the secret that came with the input, and answers requests until the gateway lets go.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from modalnb import tunnel
from modalnb.runtime import asgi, context
from modalnb.runtime.lifespan import Lifespan
from modalnb.runtime.webapps import build_app
from modalnb.tunnel import Channel
from modalnb.websettings import WebSettings

RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]

#: Where a gateway is found: ``host`` its machine, ``path`` its socket there, ``address`` and
#: ``port`` for other machines, if it listens for them.
Place = dict[str, Any]


class WebService:
    """What the code of a web function unpickles to: something that starts, serves and stops."""

    def __init__(self, raw: Callable[..., Any], settings: WebSettings) -> None:
        self._raw = raw
        self._settings = settings

    def start(self, init: Any, run_async: RunAsync) -> None:
        """Build the app and let it start up; `init` is not used."""
        _use_fast_loops()
        run_async(self._start())

    async def _start(self) -> None:
        # Under the loop, because apps make locks and clients for it when they are built.
        self._app = build_app(self._raw, self._settings)
        self._lifespan = Lifespan(self._app)
        #: Connections without a lease, by the place of their gateway.
        self._idle: dict[str, list[Channel]] = {}
        await self._lifespan.start()

    def method(self, name: str) -> Callable[..., Any]:
        """What runs an input."""
        return {"serve": self.serve}[name]

    def stop(self, run_async: RunAsync) -> None:
        """Let the app shut down."""
        run_async(self._stop())

    async def _stop(self) -> None:
        await self._lifespan.stop()
        for channels in self._idle.values():
            for channel in channels:
                channel.close()

    async def serve(self, place: Place, secret: bytes) -> int:
        """One input: answer the requests of its lease; returns how many there were."""
        try:
            channel = await self._enter(place)
        except OSError:
            # The gateway is gone, and with it whoever waited.
            return 0
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

    async def _answer(self, channel: Channel, payload: bytes) -> None:
        scope, timeout, body, has_more = tunnel.unpack(payload)
        scope["headers"] = list(scope["headers"])
        scope["state"] = self._lifespan.state.copy()
        if scope["type"] == "http":
            channel.put(tunnel.DATA if has_more else tunnel.LAST, body)
        await asgi.answer(self._app, channel, scope, timeout)

    async def _enter(self, place: Place) -> Channel:
        """A connection to the gateway: one of earlier leases, or a new one."""
        idle = self._idle.setdefault(place["path"], [])
        while idle:
            channel = idle.pop()
            if not channel.is_closed:
                return channel
        loop = asyncio.get_running_loop()
        if place["host"] == socket.gethostname() or place["address"] is None:
            _, channel = await loop.create_unix_connection(Channel, place["path"])
            return channel
        worker = context.home().worker
        security = worker.security.get_connection_args("worker").get("ssl_context")
        _, channel = await loop.create_connection(
            Channel, place["address"], place["port"], ssl=security
        )
        return channel


def _use_fast_loops() -> None:
    """Make the event loop of the user's code a faster one, if one is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
