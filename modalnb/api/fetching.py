"""Fetches the kept outputs of spawned calls: those of many inputs with one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modalnb import messages as m
from modalnb.api import current
from modalnb.api.printing import Sink
from modalnb.api.viewing import View
from modalnb.api.waiting import Ticket, value_of
from modalnb.plane.stub import Stub

#: Outputs that are fetched ahead of whoever takes them one after the other.
WINDOW = 256


class Fetch:
    """The outputs of some inputs of a call; a context manager, since the plane keeps note of it."""

    def __init__(
        self, call_id: str, function: str, indices: range, sink: Sink | None, view: View
    ) -> None:
        self._stub = current.stub()
        self._call_id = call_id
        self._function = function
        self._indices = indices
        self._view = view
        self.sink = sink
        #: The input that waits for them, if one does.
        self.by = current.parent()
        self._tickets = [Ticket(function, sink, view) for _ in indices]
        view.opened(call_id, lambda: self._stub.send(m.CANCEL, call_id=call_id))
        _watchers(self._stub).add(call_id, self)
        self._stub.send(
            m.WATCH, call_id=call_id, start=indices.start, stop=indices.stop, by=self.by
        )

    @property
    def count(self) -> int:
        """How many outputs there will be."""
        return len(self._indices)

    def value(self, number: int, timeout: float | None = None) -> Any:
        """Wait for the value of one of the inputs, counted from the first one."""
        outcome = self._tickets[number].wait(timeout)
        return value_of(self._stub, self._function, *outcome, keep=True)

    def tell(self, ended: Callable[[], None]) -> None:
        """Call `ended` once when there is an outcome of the first input, which may be now."""
        self._tickets[0].tell(ended)

    async def value_async(self, number: int, timeout: float | None = None) -> Any:
        """The same for ``await``."""
        outcome = await self._tickets[number].wait_async(timeout)
        return value_of(self._stub, self._function, *outcome, keep=True)

    def __enter__(self) -> Fetch:
        self._view.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        _watchers(self._stub).remove(self._call_id, self)
        if self.by is not None and not self._stub.is_closed:
            self._stub.send(m.UNWATCH, call_id=self._call_id, by=self.by)
        self._view.__exit__(*error)

    # -- from the loop ---------------------------------------------------------------------

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        """Some outputs of the call have come."""
        for output in outputs:
            if output[0] in self._indices:
                self._tickets[output[0] - self._indices.start].on_outputs([output])

    def on_failed(self, error: Exception) -> None:
        """None of them will come."""
        for ticket in self._tickets:
            ticket.on_failed(error)


class _Watched:
    """The inbox of one call: all that fetch some of it."""

    def __init__(self) -> None:
        self.fetches: list[Fetch] = []

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        for fetch in list(self.fetches):
            fetch.on_outputs(outputs)

    def on_accepted(self) -> None:
        """Not for those who only watch."""

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """Not for those who only watch."""

    def on_failed(self, error: Exception) -> None:
        for fetch in list(self.fetches):
            fetch.on_failed(error)

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        for fetch in list(self.fetches)[:1]:
            (fetch.sink or Sink("")).put(lines)


class _Watchers:
    """The watched calls of one stub."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._calls: dict[str, _Watched] = {}

    def add(self, call_id: str, fetch: Fetch) -> None:
        watched = self._calls.get(call_id)
        if watched is None:
            watched = self._calls[call_id] = _Watched()
            self._stub.open(call_id, watched)
        watched.fetches.append(fetch)

    def remove(self, call_id: str, fetch: Fetch) -> None:
        watched = self._calls[call_id]
        watched.fetches.remove(fetch)
        if not watched.fetches:
            del self._calls[call_id]
            self._stub.close(call_id)


def _watchers(stub: Stub) -> _Watchers:
    known: _Watchers | None = getattr(stub, "watchers", None)
    if known is None:
        known = stub.watchers = _Watchers(stub)  # type: ignore[attr-defined]
    return known
