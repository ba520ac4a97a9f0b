"""Streams: what a generator function yields in a container, element by element."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.api import viewing
from modalnb.api.call import new_call_id
from modalnb.api.printing import Sink
from modalnb.api.twin import refuse_in_coroutine
from modalnb.api.waiting import error_of, resolve, unmasked
from modalnb.exception import ResourceExhaustedError
from modalnb.payload import envelope
from modalnb.payload.failure import users_part
from modalnb.plane.stub import Stub

if TYPE_CHECKING:
    from modalnb.api.function import Function

#: The container is told what was taken after so many elements or bytes, well below its window.
TELL_EVERY = 16
TELL_BYTES = 2**20


class Stream:
    """The elements of one streamed output, to be iterated once, with ``for`` or ``async for``.

    Nothing is sent before the first element is asked for.
    """

    def __init__(self, function: Function, args: Any, kwargs: Any) -> None:
        self._function = function
        self._arguments = (args, kwargs)
        self._run: StreamRun | None = None

    def __iter__(self) -> Iterator[Any]:
        refuse_in_coroutine(f"{self._function.name}.remote_gen")
        return self

    def __next__(self) -> Any:
        __tracebackhide__ = True
        try:
            return self._opened().next()
        except StopIteration:
            raise
        except BaseException as error:
            self.close()
            raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._opened().next_async()
        except StopAsyncIteration:
            raise
        except BaseException:
            self.close()
            raise

    def _opened(self) -> StreamRun:
        if self._run is None:
            self._run = StreamRun(self._function, *self._arguments)
        return self._run

    def close(self) -> None:
        """Cancel the function, unless it has ended."""
        if self._run is not None:
            self._run.close()

    async def aclose(self) -> None:
        """The same, for ``contextlib.aclosing``."""
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<stream of {self._function.name}>"


class StreamRun:
    """One streamed output under way."""

    def __init__(self, function: Function, args: Any, kwargs: Any) -> None:
        self._function = function.name
        self._view = viewing.of_call(function.name)
        self._stub: Stub
        try:
            self._stub, route = function._route(streams=True)
        except BaseException as error:
            self._view.close(error)
            raise
        self._call_id = new_call_id()
        self._sink = Sink(function.name)
        self._changed = threading.Condition()
        self._elements: deque[Any] = deque()
        #: Elements that arrived, were taken, and were told to be taken; numbers count from 0.
        self._arrived = 0
        self._taken = 0
        self._told = 0
        #: Bytes that were taken since the container was told.
        self._untold_bytes = 0
        self._end: tuple[str, Any] | None = None
        self._is_closed = False
        self._waiter: asyncio.Future[None] | None = None
        payload = envelope.pack((args, kwargs), self._stub.depot, "arguments")
        self._stub.open(self._call_id, self, self._on_yields)
        self._stub.send(m.PUT, call_id=self._call_id, start=0, payloads=[payload], **route)
        self._view.opened(self._call_id, self.close)

    # -- from the loop ---------------------------------------------------------------------

    def _on_yields(self, elements: list[tuple[int, int, Any]]) -> None:
        begins_again = False
        with self._changed:
            for _, number, payload in elements:
                if number != self._arrived:
                    # After the loss of its container the function begins again.
                    envelope.discard(payload, self._stub.depot)
                    begins_again = True
                    continue
                self._arrived += 1
                self._elements.append(payload)
        if begins_again:
            self._tell()
        self._wake()

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        """The function has ended."""
        _, status, payload = outputs[0]
        self._view.settled(outputs)
        self._finish(status, payload)

    def on_accepted(self) -> None:
        """A stream waits for elements, not for acceptance."""

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """The input was not admitted."""
        self._finish(
            "raise",
            ResourceExhaustedError(
                limit=limit, current=current, maximum=maximum, function=self._function
            ),
        )

    def on_failed(self, error: Exception) -> None:
        """The call cannot be carried out."""
        self._finish("raise", error)

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        """The function printed."""
        self._sink.put(lines)
        self._view.printed(lines)

    def _finish(self, status: str, payload: Any) -> None:
        with self._changed:
            if self._end is None:
                self._end = (status, payload)
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.get_loop().call_soon_threadsafe(resolve, waiter)

    # -- for the consumer ------------------------------------------------------------------

    def next(self) -> Any:
        """The next element; StopIteration at the end."""
        with self._changed:
            self._changed.wait_for(self._can_take)
        return self._take(StopIteration)

    async def next_async(self) -> Any:
        """The next element; StopAsyncIteration at the end."""
        while True:
            with self._changed:
                if self._can_take():
                    break
                waiter = self._waiter = asyncio.get_running_loop().create_future()
            await waiter
        return self._take(StopAsyncIteration)

    def _can_take(self) -> bool:
        return bool(self._elements) or self._end is not None or self._is_closed

    def _take(self, stop: type[Exception]) -> Any:
        with self._changed:
            if self._is_closed or not self._elements:
                payload, is_over = None, True
            else:
                payload, is_over = self._elements.popleft(), False
                self._taken += 1
                self._untold_bytes += envelope.size_of(payload)
        self._sink.flush()
        if is_over:
            self._raise_end(stop)
        if self._taken - self._told >= TELL_EVERY or self._untold_bytes >= TELL_BYTES:
            self._tell()
        return envelope.unpack(payload, self._stub.depot, "element", keep=False)

    def _raise_end(self, stop: type[Exception]) -> None:
        end = self._end
        is_done = self._is_closed or end is None or end[0] == "ok"
        self.close()
        if is_done or end is None:
            raise stop
        status, payload = end
        # A failure is raised once; afterwards the stream is over.
        self._end = ("ok", None)
        if status == "raise":
            raise payload
        raise unmasked(error_of(self._stub, self._function, status, payload))

    def _tell(self) -> None:
        """Let the container make more."""
        with self._changed:
            if self._end is not None:
                return
            self._told = taken = self._taken
            self._untold_bytes = 0
        if not self._stub.is_closed:
            self._stub.send(m.TAKEN, call_id=self._call_id, index=0, taken=taken)

    def close(self) -> None:
        """Stop: cancel the function if it has not ended, throw away what was not taken."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            elements, self._elements = list(self._elements), deque()
            has_ended = self._end is not None
            self._changed.notify_all()
        self._view.close()
        self._stub.close(self._call_id)
        for payload in elements:
            envelope.discard(payload, self._stub.depot)
        if not has_ended and not self._stub.is_closed:
            self._stub.send(m.CANCEL, call_id=self._call_id)
