"""FunctionCall: the handle of spawned inputs, whose results wait for whoever asks."""

from __future__ import annotations

import asyncio
import builtins
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from modalnb import messages as m
from modalnb.api import current, display, viewing
from modalnb.api.call_graph import InputInfo, infos_of
from modalnb.api.printing import Sink
from modalnb.api.twin import static_twin, twin
from modalnb.api.waiting import Ticket, ask, ask_async, value_of
from modalnb.exception import InvalidError
from modalnb.payload.failure import users_part
from modalnb.plane.stub import Stub

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
        TimeoutError
            The builtin one, if there is no result in time.
        NotFoundError
            If there is no such call.
        Exception
            Whatever the function raised, each time.

        Examples
        --------
        >>> call.get(timeout=5)  # doctest: +SKIP
        """
        __tracebackhide__ = True
        try:
            stub, ticket = self._watch(timeout, index)
            with ticket.view:
                try:
                    outcome = ticket.wait(timeout)
                finally:
                    self._unwatch(stub, ticket)
            return value_of(stub, self._function, *outcome, keep=True)
        except BaseException as error:
            raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__

    @get.aio
    async def _get_aio(self, timeout: float | None = None, *, index: int = 0) -> Any:
        """The same for ``await``."""
        stub, ticket = await asyncio.to_thread(self._watch, timeout, index)
        with ticket.view:
            try:
                outcome = await ticket.wait_async(timeout)
            finally:
                self._unwatch(stub, ticket)
        return value_of(stub, self._function, *outcome, keep=True)

    def _watch(self, timeout: float | None, index: int) -> tuple[Stub, Ticket]:
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise InvalidError(f"`index` must be an int of at least 0; got {index!r}.")
        stub = current.stub()
        if timeout is not None and timeout <= 0:
            outcome = ask(stub, "output", call_id=self._object_id, index=index)
            if outcome is None:
                raise builtins.TimeoutError
            ticket = Ticket(self._function, None)
            ticket.on_outputs([(index, *outcome)])
            return stub, ticket
        view = viewing.of_call(self._function)
        ticket = Ticket(self._function, self._sink, view)
        view.opened(self._object_id, lambda: stub.send(m.CANCEL, call_id=self._object_id))
        _watchers(stub).add(self._object_id, index, ticket)
        return stub, ticket

    def _unwatch(self, stub: Stub, ticket: Ticket) -> None:
        _watchers(stub).remove(self._object_id, ticket)

    @twin
    def iter(self, *, start: int = 0, end: int | None = None) -> Iterator[Any]:
        """The values of the inputs from `start` to before `end`, in order, as they come.

        Raises
        ------
        ValueError
            If the range does not lie within the inputs.
        """
        stop = self._stop(start, end, self.num_inputs())
        return (self.get(index=index) for index in range(start, stop))

    @iter.aio
    async def _iter_aio(self, *, start: int = 0, end: int | None = None) -> AsyncIterator[Any]:
        """The same for ``async for``."""
        stop = self._stop(start, end, await self.num_inputs.aio())
        for index in range(start, stop):
            yield await self.get.aio(index=index)

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
        results: list[Any] = []
        for call in calls:
            try:
                results.append(call.get())
            except Exception as error:
                if not return_exceptions:
                    raise
                results.append(error)
        return results

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


class _Watchers:
    """Tickets of one stub by call and index, as the one inbox of each watched call."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._calls: dict[str, _Watched] = {}

    def add(self, call_id: str, index: int, ticket: Ticket) -> None:
        watched = self._calls.get(call_id)
        if watched is None:
            watched = self._calls[call_id] = _Watched()
            self._stub.open(call_id, watched)
        by = current.parent()
        watched.tickets.append((index, ticket, by))
        self._stub.send(m.WATCH, call_id=call_id, start=index, stop=index + 1, by=by)

    def remove(self, call_id: str, ticket: Ticket) -> None:
        watched = self._calls.get(call_id)
        if watched is None:
            return
        for entry in [entry for entry in watched.tickets if entry[1] is ticket]:
            watched.tickets.remove(entry)
            if (by := entry[2]) is not None and not self._stub.is_closed:
                self._stub.send(m.UNWATCH, call_id=call_id, by=by)
        if not watched.tickets:
            del self._calls[call_id]
            self._stub.close(call_id)


class _Watched:
    """The inbox of one watched call."""

    def __init__(self) -> None:
        #: The index that each asks for, and the input that it waits in.
        self.tickets: list[tuple[int, Ticket, tuple[str, int] | None]] = []

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        for output in outputs:
            for index, ticket, _ in list(self.tickets):
                if index == output[0]:
                    ticket.on_outputs([output])

    def on_accepted(self) -> None:
        """Not for those who only watch."""

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """Not for those who only watch."""

    def on_failed(self, error: Exception) -> None:
        for _, ticket, _ in list(self.tickets):
            ticket.on_failed(error)

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        for _, ticket, _ in list(self.tickets)[:1]:
            (ticket.sink or Sink("")).put(lines)


def _watchers(stub: Stub) -> _Watchers:
    known: _Watchers | None = getattr(stub, "watchers", None)
    if known is None:
        known = stub.watchers = _Watchers(stub)  # type: ignore[attr-defined]
    return known
