"""What the ledger has to look at again later: one time for each matter and thing."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

#: An input may be tried again; a batch may go; a container should be ready; an input should have
#: ended; an input that was told to stop should have left its slot.
Matter = Literal["retry", "batch", "start", "overdue", "cling"]

#: Entries that do not count any more may be so many, and as many as the others, before they go.
SLACK = 64


class Agenda:
    """Times in order; what is dropped or moved leaves nothing behind for long."""

    def __init__(self) -> None:
        #: The number of the entry that counts.
        self._valid: dict[tuple[Matter, Any], int] = {}
        self._entries: list[tuple[float, int, Matter, Any]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._valid)

    def matters(self) -> frozenset[tuple[Matter, Any]]:
        """All that is on the list."""
        return frozenset(self._valid)

    def __contains__(self, what: tuple[Matter, Any]) -> bool:
        return what in self._valid

    def add(self, at: float, matter: Matter, thing: Any) -> None:
        """Look at `thing` at the time `at`, and not at an earlier noted one."""
        number = self._valid[matter, thing] = next(self._numbers)
        heapq.heappush(self._entries, (at, number, matter, thing))
        self._tidy()

    def drop(self, matter: Matter, thing: Any) -> None:
        """There is no need to look, if there was."""
        if self._valid.pop((matter, thing), None) is not None:
            self._tidy()

    def _tidy(self) -> None:
        if len(self._entries) > 2 * len(self._valid) + SLACK:
            self._entries = [entry for entry in self._entries if self._counts(entry)]
            heapq.heapify(self._entries)

    def _counts(self, entry: tuple[float, int, Matter, Any]) -> bool:
        _, number, matter, thing = entry
        return self._valid.get((matter, thing)) == number

    @property
    def next_at(self) -> float | None:
        """The earliest time on the list."""
        while self._entries and not self._counts(self._entries[0]):
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

    def due(self, now: float) -> Iterator[tuple[Matter, Any]]:
        """Take off, in order, what was to be looked at by now."""
        while (at := self.next_at) is not None and at <= now:
            _, _, matter, thing = heapq.heappop(self._entries)
            del self._valid[matter, thing]
            yield matter, thing
