"""Passes one request on to the container that has its lease, and the response back."""

from __future__ import annotations

import asyncio
from typing import Any

from modalnb import tunnel
from modalnb.tunnel import Buffer, Channel
from modalnb.web.asgi import Event, Receive, Scope, Send
from modalnb.web.headers import passed_on_headers
from modalnb.web.leases import Lease, LeaseBook
from modalnb.web.patrol import Patrol
from modalnb.web.replies import ProblemError

#: The first part of a body must be here so soon after the head; Modal's own limit.
BODY_SECONDS = 5.0
#: The largest body of a request; Modal's own limit.
MAX_BODY = 4 * 2**30
#: A response that is not over after so long is watched for a client that has left.
WATCH_SECONDS = 0.05
#: How long a lost container is given to be reported with a reason.
REASON_SECONDS = 0.5
#: Requests with these methods may be sent to a second container when the first one dies.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ClientGoneError(Exception):
    """The client has left before there was anything to answer."""


class AbortError(Exception):
    """A response that has begun cannot go on; the server must cut the connection."""


class Relay:
    """One HTTP request on its way, from its first byte to the end of its response."""

    def __init__(
        self, book: LeaseBook, patrol: Patrol, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._book = book
        self._patrol = patrol
        self._scope = scope
        self._receive = receive
        self._send = send
        self._body: Event = {"body": b"", "more_body": False}
        #: Reads on from the client, beside the response.
        self._reader: asyncio.Task[None] | None = None
        self._next_event: asyncio.Task[Event] | None = None
        self._has_sent_body = False
        self._received = 0
        self._has_started = False
        self._has_trailers = False
        self._is_complete = False

    @property
    def has_more_body(self) -> bool:
        """Whether the client has not sent its whole body when the first part was here."""
        return bool(self._body["more_body"])

    # -- before a container has it ---------------------------------------------------------

    async def read_first(self) -> None:
        """Wait for the first part of the body.

        Raises
        ------
        ProblemError
            408, if it does not come.
        """
        try:
            self._body = await asyncio.wait_for(self._receive(), BODY_SECONDS)
        except TimeoutError:
            raise ProblemError(
                408,
                f"The body of the request did not begin within {BODY_SECONDS:g} s.",
                headers=[(b"connection", b"close")],
            ) from None
        if self._body["type"] == "http.disconnect":
            raise ClientGoneError
        self._received = len(self._body["body"])

    async def wait_lease(self, *, first: bool = False) -> Lease:
        """A lease for this request; it gives up its place when the client leaves."""
        lease = self._book.take()
        if lease is not None:
            return lease
        future = self._book.ask(first=first)
        try:
            return await self._wait_watching(future)
        except BaseException:
            self._book.forget(future)
            raise

    async def _wait_watching(self, future: asyncio.Future[Lease]) -> Lease:
        done, _ = await asyncio.wait([future], timeout=WATCH_SECONDS)
        while not done:
            event = self._pending_event()
            watched: list[asyncio.Future[Any]] = [future, event]
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if event.done() and event.result()["type"] == "http.disconnect":
                raise ClientGoneError
            if future.done():
                break
            if self._body["more_body"]:
                # More of it is here and waits with the request.
                await asyncio.wait([future])
            else:
                # Only the news that there is no body.
                self._next_event, done = None, set()
        return future.result()

    def _pending_event(self) -> asyncio.Task[Event]:
        if self._next_event is None:
            self._next_event = asyncio.ensure_future(self._receive())
        return self._next_event

    # -- with a container ------------------------------------------------------------------

    async def run(self, passed_on: dict[str, Any]) -> None:
        """Have the request answered; a safe one again if its container dies.

        Raises
        ------
        ProblemError
            If there is no answer.
        AbortError
            If the answer breaks off.
        """
        is_first_try = True
        body = self._body
        opening = tunnel.pack((passed_on, body["body"], body["more_body"]))
        while True:
            lease = await self.wait_lease(first=not is_first_try)
            if await self._try(lease, opening):
                return
            self._book.lose(lease)
            if self._has_started:
                raise AbortError("The container was lost while it answered.")
            if not self._can_repeat():
                await lease.wait_over(REASON_SECONDS)
                raise lease.problem or ProblemError(
                    502, f"`{self._book.name}` lost its container while it answered. Try again."
                )
            if lease.problem is not None:
                raise lease.problem
            is_first_try = False

    def _can_repeat(self) -> bool:
        has_body = self._body["body"] or self._body["more_body"]
        return self._scope["method"] in SAFE_METHODS and not has_body

    async def _try(self, lease: Lease, opening: bytes) -> bool:
        """One try on one container; False if that is lost."""
        channel = lease.channel
        assert channel is not None
        channel.write(tunnel.OPEN, opening)
        self._has_sent_body = not self._body["more_body"]
        if self._body["more_body"]:
            self._read_on(channel)
        else:
            self._patrol.enter(self, lambda: self._read_on(channel))
        is_over = False
        try:
            outcome = await self._pass_back(channel)
            is_over = True
        finally:
            self._patrol.leave(self)
            if self._reader is not None:
                self._stop_reading()
            if not is_over:
                wind_down(self._book, lease)
        if outcome is None:
            return False
        self._book.give_back(lease)
        self._check(outcome)
        return True

    async def _pass_back(self, channel: Channel) -> bytes | None:
        """Pass the response back; how the app ended, or None if the container is lost."""
        while True:
            kind, payload = await channel.next()
            if kind == tunnel.START:
                await self._pass_head(payload)
            elif kind == tunnel.DATA:
                body = channel.more_data(payload)
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
            elif kind == tunnel.LAST:
                self._is_complete = not self._has_trailers
                await self._send({"type": "http.response.body", "body": payload})
            elif kind == tunnel.DONE:
                return bytes(payload)
            elif kind == tunnel.EVENT:
                await self._pass_event(tunnel.unpack(payload))
            else:
                return None

    async def _pass_head(self, payload: Buffer) -> None:
        status, headers, has_trailers = tunnel.unpack(payload)
        self._has_started = True
        self._has_trailers = has_trailers
        start = {"type": "http.response.start", "status": status}
        start["headers"] = passed_on_headers(headers)
        if has_trailers:
            start["trailers"] = True
        await self._send(start)

    async def _pass_event(self, event: Event) -> None:
        if event["type"] == "http.response.trailers":
            self._is_complete = not event.get("more_trailers", False)
        await self._send(event)

    def _check(self, outcome: bytes) -> None:
        if self._is_complete or not outcome:
            return
        if self._has_started:
            raise AbortError("The app failed after it had begun to answer.")
        if self._received > MAX_BODY:
            raise too_large()
        raise ProblemError(500, f"`{self._book.name}` failed; its log says why.")

    # -- from the client, meanwhile --------------------------------------------------------

    def _read_on(self, channel: Channel) -> None:
        self._reader = asyncio.ensure_future(self._read(channel))

    async def _read(self, channel: Channel) -> None:
        """Send the rest of the body, and word of it when the client leaves."""
        while True:
            event = await self._pending_event()
            self._next_event = None
            if event["type"] == "http.disconnect":
                if not self._is_complete:
                    channel.write(tunnel.GONE)
                return
            if self._has_sent_body:
                continue
            has_more = event["more_body"]
            self._received += len(event["body"])
            if self._received > MAX_BODY:
                # It has not said so before, in a length.
                channel.write(tunnel.GONE)
                return
            self._has_sent_body = not has_more
            channel.write(tunnel.DATA if has_more else tunnel.LAST, event["body"])
            await channel.drain()

    def _stop_reading(self) -> None:
        for task in (self._reader, self._next_event):
            if task is not None:
                task.cancel()
        self._reader = self._next_event = None


def too_large() -> ProblemError:
    """What is said of a body above the limit."""
    text = f"A body may have {MAX_BODY:,} bytes."
    return ProblemError(413, text, headers=[(b"connection", b"close")])


_winding: set[asyncio.Task[None]] = set()


def wind_down(book: LeaseBook, lease: Lease) -> None:
    """Nobody wants the response any more: wait beside all else for the app to return."""

    async def wait() -> None:
        channel = lease.channel
        assert channel is not None
        channel.write(tunnel.GONE)
        kind = 0
        while kind != tunnel.DONE:
            kind, _ = await channel.next()
            if channel.is_closed:
                book.lose(lease)
                return
        book.give_back(lease)

    task = asyncio.ensure_future(wait())
    _winding.add(task)
    task.add_done_callback(_winding.discard)
