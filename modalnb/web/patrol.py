"""Notices what takes longer than a moment, for next to nothing while all is quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable


class Patrol:
    """One timer for many short waits: those that outlast `seconds` are called back, once each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        #: When to call what back, the earliest first.
        self._watched: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._is_walking = False

    def enter(self, key: Hashable, late: Callable[[], None]) -> None:
        """Call `late` if `key` has not left in time."""
        self._watched[key] = (self._loop.time() + self._seconds, late)
        if not self._is_walking:
            self._is_walking = True
            self._loop.call_later(self._seconds, self._walk)

    def leave(self, key: Hashable) -> None:
        """It was quick enough, or it is over."""
        self._watched.pop(key, None)

    def _walk(self) -> None:
        now, late = self._loop.time(), []
        for key, (due, _) in self._watched.items():
            if due > now:
                break
            late.append(key)
        for key in late:
            self._watched.pop(key)[1]()
        self._is_walking = bool(self._watched)
        if self._is_walking:
            self._loop.call_later(self._seconds / 2, self._walk)
