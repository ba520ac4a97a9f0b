"""The leases of one web function: asked of the plane, used for one request after the other.

Each waiting request has an input in the plane, so that it counts as pending and a container is
started for it.  When a response is over its lease is kept for a moment, because the way through
the plane takes longer than a short request: the next one uses it at once.  A lease that nobody
uses goes back after ``KEEP_SECONDS``, one that is used all the time after ``MAX_SECONDS``, so that
containers can drain and the plane places anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from modalnb import messages as m
from modalnb.payload import envelope, failure
from modalnb.plane.stub import Stub
from modalnb.tunnel import RELEASE, Channel
from modalnb.web.replies import ProblemError
from modalnb.web.routes import Route

KEEP_SECONDS = 0.05
MAX_SECONDS = 2.0
SWEEP_SECONDS = 0.01
REPORT_SECONDS = 0.25

_prefix = f"fc-{uuid.uuid4().hex[:10]}"
_numbers = itertools.count()


class Lease:
    """One input of a web function, from the put to its output; an ``Inbox`` of the stub."""

    __slots__ = (
        "_over",
        "book",
        "call_id",
        "channel",
        "count",
        "opened_at",
        "problem",
        "secret",
        "used_at",
    )

    def __init__(self, book: LeaseBook) -> None:
        self.book = book
        self.call_id = f"{_prefix}{next(_numbers):x}"
        self.secret = secrets.token_bytes(16)
        #: The connection to the container that has it.
        self.channel: Channel | None = None
        self.opened_at = self.used_at = 0.0
        #: Requests that it has answered.
        self.count = 0
        self._over = asyncio.Event()
        #: Why there will be no container for it, once that is known.
        self.problem: ProblemError | None = None

    @property
    def is_over(self) -> bool:
        """Whether its input has an outcome, or nobody wants one."""
        return self._over.is_set()

    def end(self) -> None:
        """Its input has an outcome, or nobody wants one."""
        self._over.set()

    async def wait_over(self, seconds: float) -> None:
        """Wait for the outcome of its input, for so long at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    # -- replies of the plane --------------------------------------------------------------

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        """The input has ended."""
        _, status, payload = outputs[0]
        self.book.on_output(self, status, payload)

    def on_accepted(self) -> None:
        """Only for spawned inputs."""

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """The function has as many inputs as it may."""
        problem = ProblemError(
            503,
            f"`{self.book.name}` has {current:,} of at most {maximum:,} {limit}. Try again later.",
            retry_after=1.0,
            limit=limit,
            current=current,
            maximum=maximum,
            function=self.book.name,
        )
        self.book.on_refused(self, problem)

    def on_failed(self, error: Exception) -> None:
        """The plane does not know the function, or is gone."""
        self.book.on_failed(self, error)

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        """Somebody printed on behalf of this request."""
        self.book.print_lines(lines)


class LeaseBook:
    """All leases of one pool, and the requests that wait for one."""

    def __init__(
        self,
        stub: Stub,
        pool_id: str,
        route: Route,
        place: dict[str, Any],
        by_secret: dict[bytes, Lease],
        print_lines: Callable[[list[tuple[str, str, str]]], None],
    ) -> None:
        self.name = route.name
        self.print_lines = print_lines
        self._stub = stub
        self._pool_id = pool_id
        self._code = m.code_of_method(None, route.method)
        self._max_seconds = 0.0 if route.single_use else MAX_SECONDS
        self._place = place
        self._by_secret = by_secret
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Lease]] = deque()
        #: Put, and without a container; oldest first.
        self._asked: dict[Lease, None] = {}
        #: Given back, and not reported by the container yet: their slots are about to be free.
        self._ending: set[Lease] = set()
        self._idle: list[Lease] = []
        self._is_sweeping = False
        #: Requests beyond the first of each lease; the plane counts one for a lease by itself.
        self._extra = 0
        self._is_reporting = False

    # -- for requests ----------------------------------------------------------------------

    def take(self) -> Lease | None:
        """A lease that is there, the one used last, or None."""
        while self._idle:
            lease = self._idle.pop()
            if _is_usable(lease):
                return lease
            self.lose(lease)
        return None

    def ask(self, *, first: bool = False) -> asyncio.Future[Lease]:
        """A lease as soon as there is one; ``first`` passes those who wait already."""
        future: asyncio.Future[Lease] = self._loop.create_future()
        if first:
            self._waiting.appendleft(future)
        else:
            self._waiting.append(future)
        self._balance()
        return future

    def forget(self, future: asyncio.Future[Lease]) -> None:
        """Nobody waits for this any more."""
        if future.done() and not future.cancelled() and future.exception() is None:
            self._offer(future.result())
        else:
            future.cancel()
            if future in self._waiting:
                self._waiting.remove(future)
            self._cancel_surplus()

    def give_back(self, lease: Lease) -> None:
        """The response is over; the lease can serve the next request."""
        now = time.monotonic()
        lease.used_at = now
        lease.count += 1
        if lease.count > 1:
            self._count(1)
        if now - lease.opened_at >= self._max_seconds:
            self._end(lease)
        else:
            self._offer(lease)

    def lose(self, lease: Lease) -> None:
        """The connection is lost: the plane gives the input to another container, or says why."""
        channel, lease.channel = lease.channel, None
        if channel is not None:
            channel.close()
        if not lease.is_over:
            self._asked[lease] = None
            self._sweep_soon()

    # -- from containers and the plane -----------------------------------------------------

    def on_take(self, lease: Lease, channel: Channel) -> None:
        """A container works on the lease."""
        if lease in self._ending:
            # Another container took over from one that died before it could report.
            channel.write(RELEASE)
            return
        self._asked.pop(lease, None)
        lease.channel = channel
        lease.opened_at = lease.used_at = time.monotonic()
        self._offer(lease)

    def on_output(self, lease: Lease, status: str, payload: Any) -> None:
        """The input of the lease has ended, by itself or because its container died."""
        was_asked = lease in self._asked
        if status != "ok":
            lease.problem = self._problem_of(status, payload)
        elif was_asked:
            lease.problem = ProblemError(502, f"A container of `{self.name}` did not come.")
        self._forget_lease(lease)
        if was_asked and lease.problem is not None:
            self._fail_oldest(lease.problem)
        self._balance()

    def on_refused(self, lease: Lease, problem: ProblemError) -> None:
        """The input of the lease was not admitted: the request that came last is told so."""
        self._forget_lease(lease)
        while self._waiting:
            future = self._waiting.pop()
            if not future.done():
                future.set_exception(problem)
                break

    def on_failed(self, lease: Lease, error: Exception) -> None:
        """The plane cannot take the input."""
        self._forget_lease(lease)
        self._fail_oldest(ProblemError(503, str(error), retry_after=1.0))

    def _problem_of(self, status: str, payload: Any) -> ProblemError:
        if status == "timeout":
            return ProblemError(504, f"`{self.name}` took longer than its timeout.")
        if status == "lost":
            story = "; ".join(payload)
            return ProblemError(502, f"`{self.name}` lost its container: {story}")
        if status == "cancelled":
            return ProblemError(503, f"`{self.name}` is being stopped.", retry_after=1.0)
        error = failure.rebuild(envelope.unpack(payload, self._stub.depot, "exception", keep=True))
        return ProblemError(500, f"`{self.name}` cannot start: {type(error).__name__}: {error}")

    # -- the book --------------------------------------------------------------------------

    def _offer(self, lease: Lease) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(lease)
                self._sweep_soon()
                return
        self._idle.append(lease)
        self._sweep_soon()

    def _fail_oldest(self, problem: ProblemError) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(problem)
                return

    def _balance(self) -> None:
        """Put an input for each waiting request that has none; slots about to be free count."""
        for _ in range(len(self._waiting) - len(self._asked) - len(self._ending)):
            self._put()

    def _put(self) -> None:
        lease = Lease(self)
        self._asked[lease] = None
        self._by_secret[lease.secret] = lease
        self._stub.open(lease.call_id, lease)
        payload = envelope.pack(((self._place, lease.secret), {}), None, "request")
        self._stub.send(
            m.PUT,
            call_id=lease.call_id,
            pool_id=self._pool_id,
            code=self._code,
            start=0,
            payloads=[payload],
        )

    def _cancel_surplus(self) -> None:
        """Cancel inputs for which no request waits any more, the latest first."""
        while len(self._asked) > len(self._waiting):
            lease = next(reversed(self._asked))
            self._forget_lease(lease)
            if not self._stub.is_closed:
                self._stub.send(m.CANCEL, call_id=lease.call_id)

    def _end(self, lease: Lease) -> None:
        assert lease.channel is not None
        if not lease.count:
            self._count(-1)
        lease.channel.write(RELEASE)
        lease.channel = None
        self._ending.add(lease)

    def _count(self, answered: int) -> None:
        self._extra += answered
        if not self._is_reporting:
            self._is_reporting = True
            self._loop.call_later(REPORT_SECONDS, self._report)

    def _report(self) -> None:
        self._is_reporting = False
        if self._extra > 0 and not self._stub.is_closed:
            self._stub.ask("answered", pool_id=self._pool_id, count=self._extra)
            self._extra = 0

    def _forget_lease(self, lease: Lease) -> None:
        self._asked.pop(lease, None)
        self._ending.discard(lease)
        lease.end()
        self._by_secret.pop(lease.secret, None)
        self._stub.close(lease.call_id)

    def _sweep_soon(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Give back leases that nobody has used for a while."""
        self._is_sweeping = False
        cut = time.monotonic() - KEEP_SECONDS
        idle, self._idle = self._idle, []
        for lease in idle:
            if not _is_usable(lease):
                self.lose(lease)
            elif lease.used_at < cut:
                self._end(lease)
            else:
                self._idle.append(lease)
        self._cancel_surplus()
        if self._idle or len(self._asked) > len(self._waiting):
            self._sweep_soon()


def _is_usable(lease: Lease) -> bool:
    return lease.channel is not None and not lease.channel.is_closed and not lease.is_over
