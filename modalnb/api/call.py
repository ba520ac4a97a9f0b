"""FunctionCall: the handle of spawned inputs, whose results wait for whoever asks."""

from __future__ import annotations

import asyncio
import builtins
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from modalnb.api import current, display, viewing
from modalnb.api.call_graph import InputInfo, infos_of
from modalnb.api.fetching import WINDOW, Fetch
from modalnb.api.gathering import gathered
from modalnb.api.printing import Sink
from modalnb.api.twin import static_twin, twin
from modalnb.api.waiting import ask, ask_async, value_of
from modalnb.exception import InvalidError
from modalnb.payload.failure import users_part

PREFIX = "fc-"


class _Ids:
    """Ids that no other process makes: a random part for each process, and a counter."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._prefix = f"{PREFIX}{uuid.uuid4().hex[:10]}"
        self._numbers = itertools.count()

    def next(self) -> str:
        return f"{self._prefix}{next(self._numbers):x}"


_ids = _Ids()


def new_call_id() -> str:
    """The id of a new call."""
    return _ids.next()


class FunctionCall:
    """One spawned call: one input from ``.spawn``, many from ``.spawn_map``.

    Handles can be pickled, kept as text by :attr:`object_id`, and used from any process that is
    connected to the same engine.
    """

    def __init__(self, object_id: str, function: str = "", sink: Sink | None = None) -> None:
        self._object_id = object_id
        self._function = function
        self._sink = sink

    @property
    def object_id(self) -> str:
        """The id of the call, ``"fc-…"``."""
        return self._object_id

    @classmethod
    def from_id(cls, function_call_id: str, client: Any = None) -> FunctionCall:
        """The handle of a call by its id; whether it exists shows at first use.

        Raises
        ------
        InvalidError
            If the id does not look like one.
        """
        if not isinstance(function_call_id, str) or not function_call_id.startswith(PREFIX):
            raise InvalidError(
                f"`function_call_id` must be a str that starts with 'fc-'; "
                f"got {function_call_id!r}."
            )
        return cls(function_call_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return FunctionCall, (self._object_id, self._function)

    def __repr__(self) -> str:
        return f"FunctionCall.from_id({self._object_id!r})"

    def _repr_html_(self) -> str:
        return display.call_html(self)

    # -- results ---------------------------------------------------------------------------

    @twin
    def get(self, timeout: float | None = None, *, index: int = 0) -> Any:
        """Wait for the value of an input.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait; None waits for ever, 0 only looks.
        index : int, default 0
            Which input of a ``spawn_map``.

        Raises
        ------
        InvalidError
            If the call has no input of this index.
        TimeoutError
            The builtin one, if there is no result in time.
        NotFoundError
            If there is no such call.
        OutputExpiredError
            If there was one, and its results have been kept for their time.
        Exception
            Whatever the function raised, each time.

        Examples
        --------
        >>> call.get(timeout=5)  # doctest: +SKIP
        """
        __tracebackhide__ = True
        try:
            if self._is_over(timeout):
                return self._look(index)
            with self._fetch(index) as fetch:
                return fetch.value(0, timeout)
        except BaseException as error:
            raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__

    @get.aio
    async def _get_aio(self, timeout: float | None = None, *, index: int = 0) -> Any:
        """The same for ``await``."""
        if self._is_over(timeout):
            return await asyncio.to_thread(self._look, index)
        with await asyncio.to_thread(self._fetch, index) as fetch:
            return await fetch.value_async(0, timeout)

    @staticmethod
    def _is_over(timeout: Any) -> bool:
        """Whether there is no time to wait."""
        is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if timeout is not None and not (is_number and timeout == timeout):
            raise InvalidError(f"`timeout` must be a number of seconds or None; got {timeout!r}.")
        return timeout is not None and timeout <= 0

    def _fetch(self, index: int, count: int = 1) -> Fetch:
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise InvalidError(f"`index` must be an int of at least 0; got {index!r}.")
        view = viewing.of_call(self._function, count)
        return Fetch(self._object_id, self._function, range(index, index + count), self._sink, view)

    def _look(self, index: int) -> Any:
        """The value that is there."""
        stub = current.stub()
        outcome = ask(stub, "output", call_id=self._object_id, index=index)
        if outcome is None:
            raise builtins.TimeoutError
        return value_of(stub, self._function, *outcome, keep=True)

    @twin
    def iter(self, *, start: int = 0, end: int | None = None) -> Iterator[Any]:
        """The values of the inputs from `start` to before `end`, in order, as they come.

        Raises
        ------
        ValueError
            If the range does not lie within the inputs.
        """
        return self._values(start, self._stop(start, end, self.num_inputs()))

    def _values(self, start: int, stop: int) -> Iterator[Any]:
        __tracebackhide__ = True
        try:
            for first in range(start, stop, WINDOW):
                with self._fetch(first, min(WINDOW, stop - first)) as fetch:
                    for number in range(fetch.count):
                        yield fetch.value(number)
        except Exception as error:
            raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__

    @iter.aio
    async def _iter_aio(self, *, start: int = 0, end: int | None = None) -> AsyncIterator[Any]:
        """The same for ``async for``."""
        stop = self._stop(start, end, await self.num_inputs.aio())
        for first in range(start, stop, WINDOW):
            count = min(WINDOW, stop - first)
            with await asyncio.to_thread(self._fetch, first, count) as fetch:
                for number in range(fetch.count):
                    yield await fetch.value_async(number)

    @staticmethod
    def _stop(start: int, end: int | None, count: int) -> int:
        stop = count if end is None else end
        if not 0 <= start <= stop <= count:
            raise ValueError(f"`start` and `end` must lie within 0..{count}; got {start}..{stop}.")
        return stop

    @twin
    def num_inputs(self) -> int:
        """How many inputs the call has."""
        return int(ask(current.stub(), "call", call_id=self._object_id)["inputs"])

    @num_inputs.aio
    async def _num_inputs_aio(self) -> int:
        """The same for ``await``."""
        return int((await ask_async(current.stub(), "call", call_id=self._object_id))["inputs"])

    @twin
    def cancel(self, terminate_containers: bool = False) -> None:
        """Cancel all inputs of the call that have no result; a finished call stays as it is.

        Parameters
        ----------
        terminate_containers : bool, default False
            Whether the containers that work on the call end at once; what else they executed runs
            elsewhere. Otherwise user code gets an exception, ``InputCancellation`` in functions
            and ``CancelledError`` in coroutines, and a container is replaced only if it does not
            let go, or if it runs several plain functions at once.
        """
        kill = _checked_flag(terminate_containers)
        ask(current.stub(), "cancel", call_id=self._object_id, kill=kill)

    @cancel.aio
    async def _cancel_aio(self, terminate_containers: bool = False) -> None:
        """The same for ``await``."""
        kill = _checked_flag(terminate_containers)
        await ask_async(current.stub(), "cancel", call_id=self._object_id, kill=kill)

    @twin
    def get_call_graph(self) -> list[InputInfo]:
        """The inputs of the call, each with the calls that it made, and so on.

        Returns
        -------
        list of InputInfo
            What has been forgotten since, after thousands of calls, is left out.

        Raises
        ------
        NotFoundError
            If the call itself is not remembered.

        Examples
        --------
        >>> call.get_call_graph()[0].children  # doctest: +SKIP
        """
        return infos_of(ask(current.stub(), "graph", call_id=self._object_id))

    @get_call_graph.aio
    async def _get_call_graph_aio(self) -> list[InputInfo]:
        """The same for ``await``."""
        return infos_of(await ask_async(current.stub(), "graph", call_id=self._object_id))

    @static_twin
    def gather(*calls: FunctionCall, return_exceptions: bool = False) -> list[Any]:
        """The values of several calls, in the order of the arguments.

        Parameters
        ----------
        *calls : FunctionCall
        return_exceptions : bool, default False
            Whether failures stand in the list instead of the first one being raised; the other
            calls go on in either case.
        """
        __tracebackhide__ = True
        return gathered(calls, return_exceptions=return_exceptions)

    @gather.aio
    async def _gather_aio(*calls: FunctionCall, return_exceptions: bool = False) -> list[Any]:
        """The same for ``await``."""
        return await asyncio.gather(
            *(call.get.aio() for call in calls), return_exceptions=return_exceptions
        )

    def status(self) -> dict[str, Any]:
        """Counts of the call: inputs, done, failed, running."""
        facts: dict[str, Any] = ask(current.stub(), "call", call_id=self._object_id)
        return facts


def _checked_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidError(f"`terminate_containers` must be a bool; got {value!r}.")
    return value
