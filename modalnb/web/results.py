"""Answers that take long: the client is sent to a URL that has the response when it is there.

Proxies and browsers give up on a response that does not begin.  With this option they get a 303
after some time instead, and again each time that the URL which it names takes as long.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from modalnb.web.asgi import Event, Receive, Scope, Send
from modalnb.web.relay import Relay
from modalnb.web.replies import ProblemError, reply

#: The query parameter that names a result.
PARAMETER = b"__modalnb_result="
#: How long a result waits for a client to ask for it.
KEEP_SECONDS = 60.0


class Client:
    """Whoever waits for a response at this moment; in between there may be nobody."""

    def __init__(self) -> None:
        self._ends: tuple[Receive, Send] | None = None
        self._changed = asyncio.Event()
        #: The response has begun, so it must go on to whoever waits now.
        self.has_begun = asyncio.Event()

    def attach(self, receive: Receive, send: Send) -> None:
        """From now on it is this one."""
        self._ends = (receive, send)
        self._change()

    def detach(self) -> None:
        """Nobody waits now."""
        self._ends = None
        self._change()

    def _change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def send(self, event: Event) -> None:
        """Send to the client that waits, or as soon as one does."""
        while self._ends is None:
            await self._changed.wait()
        self.has_begun.set()
        await self._ends[1](event)

    async def receive(self) -> Event:
        """What the client sends; one that was sent elsewhere says nothing more."""
        while True:
            changed = asyncio.ensure_future(self._changed.wait())
            parts: list[asyncio.Future[Any]] = [changed]
            if self._ends is not None:
                parts.append(asyncio.ensure_future(self._ends[0]()))
            try:
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                if not changed.done():
                    event: Event = parts[1].result()
                    return event
            finally:
                for part in parts:
                    part.cancel()


class Results:
    """The responses that clients may come back for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._kept: dict[bytes, tuple[asyncio.Future[None], Client, asyncio.TimerHandle]] = {}

    async def run(
        self, relay: Relay, client: Client, passed_on: dict[str, Any], send: Send
    ) -> None:
        """Have a request answered, directly if that does not take too long."""
        work = asyncio.ensure_future(relay.run(passed_on))
        # A client that still sends its body cannot be sent elsewhere.
        seconds = None if relay.has_more_body else self.seconds
        await self._wait(work, client, passed_on, send, seconds)

    async def resume(
        self, scope: Scope, passed_on: dict[str, Any], ends: tuple[Receive, Send]
    ) -> None:
        """Answer one who comes back.

        Raises
        ------
        ProblemError
            404, if there is nothing for them.
        """
        key = scope["query_string"].partition(PARAMETER)[2]
        found = self._kept.pop(key, None)
        if found is None:
            raise ProblemError(404, "There is no such result, or it has waited for too long.")
        work, client, timer = found
        timer.cancel()
        client.attach(*ends)
        await self._wait(work, client, passed_on, ends[1], self.seconds)

    async def _wait(
        self,
        work: asyncio.Future[None],
        client: Client,
        passed_on: dict[str, Any],
        send: Send,
        seconds: float | None,
    ) -> None:
        begun = asyncio.ensure_future(client.has_begun.wait())
        try:
            parts: list[asyncio.Future[Any]] = [work, begun]
            done, _ = await asyncio.wait(
                parts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                await work
                return
        except BaseException:
            work.cancel()
            raise
        finally:
            begun.cancel()
        client.detach()
        key = secrets.token_hex(16).encode()
        timer = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._forget, key)
        self._kept[key] = (work, client, timer)
        location = passed_on["raw_path"] + b"?" + PARAMETER + key
        await reply(send, 303, b"", b"text/plain", [(b"location", location)])

    def _forget(self, key: bytes) -> None:
        work, _, _ = self._kept.pop(key)
        work.cancel()
