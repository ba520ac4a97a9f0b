"""What containers were there for: seconds busy, booting, idle, kept as minimum or as buffer."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from modalnb.snapshot import PoolSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Container-seconds by purpose; draining containers count as busy, since they finish inputs.

    ``kept`` are idle ones below ``min_containers``, ``buffer`` idle ones of ``buffer_containers``
    while the function is active, ``idle`` those that wait for the end of their scaledown window.
    """

    busy: float = 0.0
    booting: float = 0.0
    idle: float = 0.0
    kept: float = 0.0
    buffer: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.busy + self.booting + self.idle + self.kept + self.buffer

    def plus(self, other: Seconds, factor: float) -> Seconds:
        """These and `factor` times the others."""
        return Seconds(
            **{
                part.name: getattr(self, part.name) + factor * getattr(other, part.name)
                for part in fields(Seconds)
            }
        )


class Spending:
    """Adds up container-seconds from one snapshot to the next."""

    def __init__(self) -> None:
        self.seconds = Seconds()
        #: Whether the buffer counts: while there are inputs, and a scaledown window longer.
        self.is_active = False
        self._counts: Seconds | None = None
        self._at = 0.0
        self._active_at = -math.inf

    def skip(self) -> None:
        """What was between the last snapshot and the next is not known, and not counted."""
        self._counts = None

    def add(self, pool: PoolSnapshot) -> None:
        """Each container was until now what it was in the snapshot before."""
        if self._counts is not None:
            self.seconds = self.seconds.plus(self._counts, pool.taken_at - self._at)
        if pool.demand:
            self._active_at = pool.taken_at
        since = pool.taken_at - self._active_at
        self.is_active = pool.demand > 0 or since < pool.settings.scaledown_window
        self._counts = split(pool, is_active=self.is_active)
        self._at = pool.taken_at


def split(pool: PoolSnapshot, *, is_active: bool) -> Seconds:
    """The containers of an instant by what they are there for."""
    busy, booting, idle = pool.count("busy", "draining"), pool.count("booting"), pool.count("idle")
    present = pool.count("busy") + booting
    kept = min(idle, max(0, pool.settings.min_containers - present))
    buffer = min(idle - kept, pool.settings.buffer_containers) if is_active else 0
    return Seconds(busy=busy, booting=booting, kept=kept, buffer=buffer, idle=idle - kept - buffer)
