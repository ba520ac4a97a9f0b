"""What the ledger has to look at again later: an ordered list of times and things."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

#: An input may be tried again; a batch may go; a container should be ready; an input should have
#: ended.
Matter = Literal["retry", "batch", "start", "overdue"]


class Agenda:
    """Times and what they are for; whether a thing still matters is for the reader to check."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Matter, Any]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, at: float, matter: Matter, thing: Any) -> None:
        """Look at `thing` at the time `at`."""
        heapq.heappush(self._entries, (at, next(self._numbers), matter, thing))

    @property
    def next_at(self) -> float | None:
        """The earliest time on the list."""
        return self._entries[0][0] if self._entries else None

    def due(self, now: float) -> Iterator[tuple[Matter, Any]]:
        """Take off, in order, what was to be looked at by now."""
        while self._entries and self._entries[0][0] <= now:
            _, _, matter, thing = heapq.heappop(self._entries)
            yield matter, thing
