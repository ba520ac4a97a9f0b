"""One input on its way: what a caller waits on, in a thread or in a coroutine."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from modalnb import exception
from modalnb.api.printing import Sink
from modalnb.api.viewing import NOTHING, View
from modalnb.payload import envelope, failure
from modalnb.plane.stub import Stub

FIRST_DELAY = 0.1
MAX_DELAY = 15.0


def value_of(stub: Stub, function: str, status: str, payload: Any, *, keep: bool) -> Any:
    """The value of an output, or raise what it stands for."""
    if status == "ok":
        return envelope.unpack(payload, stub.depot, "result", keep=keep)
    raise error_of(stub, function, status, payload)


def error_of(stub: Stub, function: str, status: str, payload: Any) -> BaseException:
    """The exception that an output stands for."""
    if status == "error":
        return failure.rebuild(envelope.unpack(payload, stub.depot, "exception", keep=True))
    if status == "lost":
        return exception.ContainerLostError(function=function, losses=tuple(payload))
    if status == "timeout":
        return exception.FunctionTimeoutError(function=function, timeout=payload)
    if status == "beyond":
        index, count = payload
        return exception.InvalidError(
            f"`index` must be below {count}; got {index}. Ask `num_inputs()` how many there are."
        )
    if status == "stalled":
        return exception.ExecutionError(
            f"`{function}` waits for itself: every container that it can have runs an input that "
            "waits for another input of it. Raise its `max_containers` or its concurrency, or "
            "call `.local()` inside of it."
        )
    return cancelled(function)


def cancelled(function: str) -> exception.InputCancelledError:
    """What a cancelled input raises."""
    return exception.InputCancelledError(f"An input of `{function}` was cancelled.")


def unmasked(error: BaseException) -> BaseException:
    """An exception that a loop would take for its end is shown as Python shows it of generators."""
    if not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    shown = RuntimeError(f"The function raised {type(error).__name__}: {error}")
    shown.__cause__ = error
    return shown


def throttle_delays(limit: float) -> Iterable[float]:
    """Delays between tries while a queue is full: doubled each time, with jitter."""
    deadline = time.monotonic() + limit
    delay = FIRST_DELAY
    while (left := deadline - time.monotonic()) > 0:
        yield min(left, delay * random.uniform(0.75, 1.25))
        delay = min(MAX_DELAY, delay * 2)


def resolve(future: asyncio.Future[None]) -> None:
    """Let whoever awaits the future go on, unless it has given up."""
    if not future.done():
        future.set_result(None)


class Ticket:
    """Waits for the outcome of a put: an output, its acceptance, or a refusal.

    It is an :class:`~modalnb.plane.stub.Inbox`; the loop fills it, one caller waits on it.
    """

    __slots__ = ("_done", "_ended", "_future", "_lock", "function", "outcome", "sink", "view")

    def __init__(self, function: str, sink: Sink | None, view: View = NOTHING) -> None:
        self.function = function
        self.sink = sink
        self.view = view
        self.outcome: tuple[str, Any] | None = None
        self._done = threading.Lock()
        self._done.acquire()
        self._future: asyncio.Future[None] | None = None
        #: Told once there is an outcome.
        self._ended: Callable[[], None] | None = None
        self._lock = threading.Lock()

    # -- from the loop ---------------------------------------------------------------------

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        _, status, payload = outputs[0]
        # Whoever looks at it sees one input, whatever its place among those of its call.
        self.view.settled([(0, status, payload)])
        self._set((status, payload))

    def on_accepted(self) -> None:
        self._set(("accepted", None))

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        error = exception.ResourceExhaustedError(
            limit=limit, current=current, maximum=maximum, function=self.function
        )
        self._set(("raise", error))

    def on_failed(self, error: Exception) -> None:
        self._set(("raise", error))

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        if self.sink is not None:
            self.sink.put(lines)
        self.view.printed(lines)

    def _set(self, outcome: tuple[str, Any]) -> None:
        with self._lock:
            if self.outcome is not None:
                return
            self.outcome = outcome
            future, ended = self._future, self._ended
        self._done.release()
        if ended is not None:
            ended()
        if future is not None:
            loop = future.get_loop()
            loop.call_soon_threadsafe(resolve, future)

    # -- for the caller --------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> tuple[str, Any]:
        """Block until there is an outcome; the builtin TimeoutError if there is none in time."""
        if not self._done.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise builtins.TimeoutError
        self._done.release()
        return self._result()

    def tell(self, ended: Callable[[], None]) -> None:
        """Call `ended` once when there is an outcome, which may be now."""
        with self._lock:
            is_done = self.outcome is not None
            self._ended = None if is_done else ended
        if is_done:
            ended()

    async def wait_async(self, timeout: float | None = None) -> tuple[str, Any]:
        """The same without blocking the running loop."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            is_done = self.outcome is not None
            self._future = None if is_done else future
        if not is_done:
            await asyncio.wait_for(future, timeout)
        return self._result()

    def _result(self) -> tuple[str, Any]:
        if self.sink is not None:
            self.sink.flush()
        assert self.outcome is not None
        status, payload = self.outcome
        if status == "raise":
            raise payload
        return status, payload


def ask(stub: Stub, verb: str, **arguments: Any) -> Any:
    """Ask the plane and wait for the answer."""
    return answer_of(stub.ask(verb, **arguments))


async def ask_async(stub: Stub, verb: str, **arguments: Any) -> Any:
    """Ask the plane and await the answer."""
    return await asyncio.wrap_future(stub.ask(verb, **arguments))


def answer_of(future: concurrent.futures.Future[Any], timeout: float = 60.0) -> Any:
    """Wait for an answer of the plane; a plane that does not answer is an error, not a hang."""
    try:
        return future.result(timeout)
    except builtins.TimeoutError:
        if future.done():
            raise
        raise exception.ConnectionError(
            f"The engine did not answer within {timeout:g} s. Is its machine overloaded?"
        ) from None


def retry_refused(put: Callable[[], Any], limit: float) -> Any:
    """Call `put` until it is not refused, for at most `limit` seconds."""
    for delay in throttle_delays(limit):
        try:
            return put()
        except exception.ResourceExhaustedError:
            time.sleep(delay)
    return put()


async def retry_refused_async(put: Callable[[], Any], limit: float) -> Any:
    """The same for a coroutine function."""
    for delay in throttle_delays(limit):
        try:
            return await put()
        except exception.ResourceExhaustedError:
            await asyncio.sleep(delay)
    return await put()
