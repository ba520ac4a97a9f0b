"""One map under way: what is sent, what came back, and who waits."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from modalnb import messages as m
from modalnb.api.feeding import Feeder
from modalnb.api.printing import Sink
from modalnb.api.viewing import View
from modalnb.api.waiting import (
    FIRST_DELAY,
    MAX_DELAY,
    cancelled,
    error_of,
    resolve,
    unmasked,
    value_of,
)
from modalnb.payload import envelope
from modalnb.payload.shared_memory import Depot
from modalnb.plane.stub import Stub
from modalnb.settings import Limits

WINDOW = Limits().map_outstanding
#: The feeder is woken when this many inputs may be sent, so that they travel together.
WAKE_ROOM = WINDOW // 4
#: Bytes of large arguments that are on the way at most; one input may always be.
MAX_BYTES = 256 * 2**20
PROGRESS_SECONDS = 0.25

Output = tuple[int, str, Any]

#: The open maps of this process by call id, for views.
_open: dict[str, MapRun] = {}


def widest(pool_id: str) -> int:
    """The most inputs that one map of this process has on the way to a pool."""
    runs = (run for run in list(_open.values()) if run.pool_id == pool_id)
    return max((run.on_way for run in runs), default=0)


def large_bytes(payload: Any) -> int:
    """Bytes that a payload holds in shared memory."""
    return sum(payload["sizes"]) if isinstance(payload, dict) else 0


class MapRun:
    """At most :data:`WINDOW` inputs are on the way and as many results wait to be taken."""

    def __init__(
        self,
        stub: Stub,
        *,
        call_id: str,
        function: str,
        sink: Sink,
        order_outputs: bool,
        return_exceptions: bool,
        view: View,
        put: dict[str, Any],
    ) -> None:
        self.call_id = call_id
        self._stub = stub
        self._function = function
        self._sink = sink
        self._order_outputs = order_outputs
        self._return_exceptions = return_exceptions
        self._view = view
        self._put = put
        self._changed = threading.Condition()
        #: Payloads that have not been sent, and those on the way, by index.
        self._unsent: deque[tuple[int, Any]] = deque()
        self._on_way: dict[int, Any] = {}
        self._added = 0
        self._received = 0
        #: Shared memory that the inputs on the way hold.
        self._bytes = 0
        self._taken = 0
        #: Outputs that nobody has taken; in order, only from `_next` on without a gap.
        self._ready: dict[int, Output] = {}
        self._next = 0
        self._failure: Output | None = None
        #: Outputs that the consumer is about to take.
        self._batch: deque[Output] = deque()
        self._is_fed = False
        self._error: BaseException | None = None
        self._is_closed = False
        self._is_pushing = False
        self._feeder_waits = False
        self._delay = FIRST_DELAY
        self._retry: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def pool_id(self) -> str:
        """The pool that its inputs go to."""
        return str(self._put["pool_id"])

    @property
    def on_way(self) -> int:
        """Inputs that were sent or are about to be, and have no result yet."""
        return self._added - self._received

    @property
    def depot(self) -> Depot | None:
        """Where large arguments go."""
        return self._stub.depot

    def start(self, feeder: Feeder) -> None:
        """Begin to read and to send."""
        self._stub.open(self.call_id, self)
        _open[self.call_id] = self
        self._view.opened(self.call_id, self.cancel)
        feeder.start()

    # -- from the feeder -------------------------------------------------------------------

    def _room(self) -> int:
        if self._bytes > MAX_BYTES and self.on_way:
            return 0
        return WINDOW - max(self.on_way, len(self._ready) + len(self._batch))

    def wait_room(self) -> bool:
        """Block until one more input may be on the way; False if none is wanted any more."""
        if self._room() > 0 and not self._is_closed:
            return True
        with self._changed:
            self._feeder_waits = True
            self._changed.wait_for(lambda: self._room() > 0 or self._is_closed)
            self._feeder_waits = False
        return not self._is_closed

    def add(self, payload: Any) -> None:
        """Take one input; it leaves with all others that the loop finds."""
        self._bytes += large_bytes(payload)
        self._unsent.append((self._added, payload))
        self._added += 1
        if not self._is_pushing:
            self._is_pushing = True
            self._call_soon(self._push)

    def finish(self, error: BaseException | None) -> None:
        """There are no more inputs, or the iterator raised."""
        with self._changed:
            self._is_fed = True
            # What has failed before may be why there are no more.
            self._error = self._error or error
        self._call_soon(self._push)
        self._wake()

    def _call_soon(self, step: Any) -> None:
        if not self._stub.is_closed:
            self._stub.line.loop.call_soon_threadsafe(step)

    # -- on the loop -----------------------------------------------------------------------

    def _push(self) -> None:
        self._is_pushing = False
        self._retry = None
        if self._is_closed:
            return
        while self._unsent:
            start = self._unsent[0][0]
            payloads: list[Any] = []
            while self._unsent and len(payloads) < m.MAX_BATCH:
                index, payload = self._unsent.popleft()
                self._on_way[index] = payload
                payloads.append(payload)
            self._stub.line.send(
                {
                    "op": m.PUT,
                    "call_id": self.call_id,
                    "start": start,
                    "payloads": payloads,
                    "closed": False,
                    "patient": True,
                    **self._put,
                }
            )
        if self._is_fed and self._added:
            self._stub.line.send({"op": m.CLOSE, "call_id": self.call_id})

    def on_outputs(self, outputs: list[Output]) -> None:
        """Results have come."""
        self._delay = FIRST_DELAY
        if self._retry is not None:
            # There is room again: no need to wait for the end of the delay.
            self._retry.cancel()
            self._push()
        with self._changed:
            if self._is_closed or self._error is not None:
                self._discard(outputs)
                return
            for output in outputs:
                payload = self._on_way.pop(output[0], self)
                if payload is self:
                    continue
                self._received += 1
                self._bytes -= large_bytes(payload)
                self._ready[output[0]] = output
                if output[1] != "ok" and self._failure is None:
                    self._failure = output
        self._view.settled(outputs)
        self._wake()

    def on_accepted(self) -> None:
        """A map waits for outputs, not for acceptance."""

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """Keep what was refused and send it again later: a map waits, it does not fail."""
        back = sorted(index for index in self._on_way if index >= start)
        if not back:
            return
        self._unsent.extendleft((index, self._on_way.pop(index)) for index in reversed(back))
        self._is_pushing = True
        self._view.waits_for(limit, maximum)
        self._retry = self._stub.line.loop.call_later(self._delay, self._push)
        self._delay = min(MAX_DELAY, self._delay * 2)

    def on_failed(self, error: Exception) -> None:
        """The map cannot go on."""
        with self._changed:
            self._error = error
            self._is_fed = True
        self._wake()

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        """An input printed."""
        self._sink.put(lines)
        self._view.printed(lines)

    def _wake(self) -> None:
        with self._changed:
            has_room = self._room() >= WAKE_ROOM or bool(self._bytes)
            if not self._feeder_waits or has_room or self._can_take():
                self._changed.notify_all()
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.get_loop().call_soon_threadsafe(resolve, waiter)

    # -- for the consumer ------------------------------------------------------------------

    def next(self) -> Any:
        """The next result; StopIteration when there are no more."""
        while True:
            if (output := self._take()) is not None:
                return self._value(output)
            if not self._refill():
                raise StopIteration
            with self._changed:
                self._changed.wait_for(self._can_take, PROGRESS_SECONDS)
            self._show()

    async def next_async(self) -> Any:
        """The next result; StopAsyncIteration when there are no more."""
        while True:
            if (output := self._take()) is not None:
                return self._value(output)
            if not self._refill():
                raise StopAsyncIteration
            with self._changed:
                can_take = self._can_take()
                if not can_take:
                    self._waiter = asyncio.get_running_loop().create_future()
                    waiter = self._waiter
            if not can_take:
                await asyncio.wait([waiter], timeout=PROGRESS_SECONDS)
            self._show()

    def _take(self) -> Output | None:
        try:
            output = self._batch.popleft()
        except IndexError:
            return None
        if not self._batch:
            self._wake()
        return output

    def _can_take(self) -> bool:
        if self._is_closed or self._error is not None or self._is_complete():
            return True
        if self._failure is not None and not self._return_exceptions:
            return True
        return self._next in self._ready if self._order_outputs else bool(self._ready)

    def _is_complete(self) -> bool:
        return self._is_fed and self._received == self._added

    def _refill(self) -> bool:
        """Take what can be yielded now; False at the end of the map."""
        with self._changed:
            batch = self._take_ready()
            if not batch and (error := self._stopped_by()) is not None:
                self._sink.flush()
                raise error
            is_over = self._is_closed or (self._is_complete() and not self._ready)
        if batch:
            self._batch.extend(batch)
            self._sink.flush()
        elif is_over:
            self.close()
            return False
        return True

    def _take_ready(self) -> list[Output]:
        if not self._order_outputs:
            batch, self._ready = list(self._ready.values()), {}
            return batch
        batch = []
        while (output := self._ready.get(self._next)) is not None:
            if output is self._failure and not self._return_exceptions:
                break
            batch.append(self._ready.pop(self._next))
            self._next += 1
        return batch

    def _stopped_by(self) -> BaseException | None:
        if self._is_closed:
            # It was raised once; afterwards the map is over.
            return None
        if self._failure is not None and not self._return_exceptions:
            _, status, payload = self._failure
            return unmasked(error_of(self._stub, self._function, status, payload))
        return self._error

    def _value(self, output: Output) -> Any:
        _, status, payload = output
        self._taken += 1
        self._view.advance()
        if status == "ok" or not self._return_exceptions:
            return value_of(self._stub, self._function, status, payload, keep=False)
        return error_of(self._stub, self._function, status, payload)

    def _show(self) -> None:
        self._view.show(received=self._received, added=self._added, is_fed=self._is_fed)

    def cancel(self) -> None:
        """Cancel what has no result, from any thread; whoever takes results gets an error."""
        if not self._stub.is_closed:
            self._stub.send(m.CANCEL, call_id=self.call_id)
            self._call_soon(lambda: self.on_failed(cancelled(self._function)))

    def _discard(self, outputs: Iterable[Output]) -> None:
        for _, _, payload in outputs:
            envelope.discard(payload, self._stub.depot)

    def close(self, error: BaseException | None = None) -> None:
        """Stop: cancel what has no result, throw away results that nobody took."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            is_complete = self._is_complete()
            left = [*self._ready.values(), *self._batch]
            self._ready.clear()
            self._batch.clear()
            self._changed.notify_all()
        _open.pop(self.call_id, None)
        self._view.close(error)
        self._stub.close(self.call_id)
        self._discard(left)
        if not is_complete and self._added and not self._stub.is_closed:
            self._stub.send(m.CANCEL, call_id=self.call_id)
