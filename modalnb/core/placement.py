"""Chooses the container for the next input, and how many inputs a container may hold ahead."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

C = TypeVar("C")

#: Work, in seconds, that a container should hold ahead: some round trips to the plane, so that
#: several inputs travel in each message.
PREFETCH_SECONDS = 0.03
#: Inputs that take longer than this are never held ahead.
SLOW_SECONDS = 0.1
MAX_PREFETCH = 256


def prefetch_depth(mean_duration: float | None, slots: int) -> int:
    """How many inputs a container may hold beyond its slots.

    Thirty inputs of 1 ms pass while a message goes to the plane and back a few times, so a
    container that held only what it executes would mostly wait; with inputs of a second it would
    not notice.  With a hundred slots, sixty inputs of 50 ms pass in that time.
    """
    if mean_duration is None or mean_duration > SLOW_SECONDS:
        return 0
    if mean_duration <= PREFETCH_SECONDS * slots / MAX_PREFETCH:
        return MAX_PREFETCH
    return math.ceil(PREFETCH_SECONDS * slots / mean_duration)


class SlotIndex(Generic[C]):
    """Containers by how many inputs they hold; every operation takes constant time."""

    def __init__(self) -> None:
        self._levels: list[dict[C, None]] = []
        self._level_of: dict[C, int] = {}
        #: Bit n is set when some container holds n inputs.
        self._mask = 0

    def __contains__(self, container: object) -> bool:
        return container in self._level_of

    def __len__(self) -> int:
        return len(self._level_of)

    def level(self, container: C) -> int | None:
        """How many inputs the container holds; None if it is not in."""
        return self._level_of.get(container)

    def place(self, container: C, level: int) -> None:
        """Add a container, or move it to another level."""
        old = self._level_of.get(container)
        if old == level:
            return
        if old is not None:
            self._leave(container, old)
        while len(self._levels) <= level:
            self._levels.append({})
        self._levels[level][container] = None
        self._level_of[container] = level
        self._mask |= 1 << level

    def remove(self, container: C) -> None:
        """Take a container out; one that is not in is no error."""
        level = self._level_of.pop(container, None)
        if level is not None:
            self._leave(container, level)

    def _leave(self, container: C, level: int) -> None:
        bucket = self._levels[level]
        del bucket[container]
        if not bucket:
            self._mask &= ~(1 << level)

    def fullest_below(self, limit: int) -> C | None:
        """The fullest container that holds fewer than `limit`; the latest one of equals.

        Filling the fullest lets the others fall idle and age out.
        """
        mask = self._mask & ((1 << limit) - 1)
        return self._latest(mask.bit_length() - 1) if mask else None

    def emptiest_below(self, limit: int) -> C | None:
        """The emptiest container that holds fewer than `limit`; the latest one of equals."""
        mask = self._mask & ((1 << limit) - 1)
        return self._latest((mask & -mask).bit_length() - 1) if mask else None

    def _latest(self, level: int) -> C:
        return next(reversed(self._levels[level]))

    def choose(self, target_inputs: int, max_inputs: int, prefetch: int) -> C | None:
        """The container for the next input, or None if every one holds all that it may.

        Three cases: pack below the target; beyond it spread up to the maximum; beyond that hold
        inputs ahead, evenly.
        """
        return self.fullest_below(target_inputs) or self.emptiest_below(max_inputs + prefetch)
