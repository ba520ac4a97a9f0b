"""Keeps the last lines that each container printed, living or dead, within fixed bounds."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Any

#: Characters kept of one container, and containers kept at all.
MAX_CHARS = 32_768
MAX_CONTAINERS = 256

#: (seq, container id, pool id, call id or None, stream, text)
Printed = tuple[int, str, str, str | None, str, str]


class Tail:
    """The last lines of one container."""

    __slots__ = ("_chars", "lines", "pool_id")

    def __init__(self, pool_id: str) -> None:
        self.pool_id = pool_id
        self.lines: deque[Printed] = deque()
        self._chars = 0

    def add(self, line: Printed) -> None:
        """Take in a line; older ones make room."""
        self.lines.append(line)
        self._chars += len(line[-1])
        while self._chars > MAX_CHARS and len(self.lines) > 1:
            self._chars -= len(self.lines.popleft()[-1])


class Tails:
    """The tails of all containers; the one that was silent longest is forgotten first."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._seq = itertools.count(1)

    def add(self, container_id: str, pool_id: str, lines: Iterable[tuple[Any, ...]]) -> None:
        """Take in (call id or None, stream, text) tuples that a container printed.

        The last words of one that is gone come without its pool, which its tail may know.
        """
        tail = self._tails.get(container_id)
        if tail is None:
            tail = self._tails[container_id] = Tail(pool_id)
            if len(self._tails) > MAX_CONTAINERS:
                self._tails.popitem(last=False)
        self._tails.move_to_end(container_id)
        for call_id, stream, text in lines:
            kept = text[-MAX_CHARS:]
            tail.add((next(self._seq), container_id, tail.pool_id, call_id, stream, kept))

    def last(
        self,
        count: int,
        *,
        since: int = 0,
        container_id: str | None = None,
        pool_id: str | None = None,
        call_id: str | None = None,
    ) -> list[Printed]:
        """The last `count` lines after number `since` of a container, a pool or a call, in order.

        Without any of them, of all containers.
        """
        chosen = [
            line
            for line in self._lines(container_id)
            if line[0] > since and pool_id in (None, line[2]) and call_id in (None, line[3])
        ]
        chosen.sort(key=lambda line: line[0])
        return chosen[-count:] if count else []

    def _lines(self, container_id: str | None) -> Iterator[Printed]:
        if container_id is None:
            for tail in self._tails.values():
                yield from tail.lines
        elif container_id in self._tails:
            yield from self._tails[container_id].lines
