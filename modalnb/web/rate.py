"""How many requests a second may pass: a bucket that fills steadily and may be emptied at once."""

from __future__ import annotations

#: Seconds' worth of requests that may come at once after a quiet time; Modal's own allowance.
BURST_SECONDS = 5.0
#: How often a meter tells what it has counted.
METER_SECONDS = 0.5


class Rate:
    """At most `per_second` requests on average, in bursts of five seconds' worth; 0 is no limit."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._room = self._full = max(1.0, per_second * BURST_SECONDS)
        self._seen_at = 0.0

    def admit(self, now: float) -> float:
        """Let one request pass and return 0, or return the seconds after which one may."""
        if not self.per_second:
            return 0.0
        gained = max(0.0, now - self._seen_at) * self.per_second
        self._room, self._seen_at = min(self._full, self._room + gained), max(now, self._seen_at)
        if self._room < 1.0:
            return (1.0 - self._room) / self.per_second
        self._room -= 1.0
        return 0.0


class Meter:
    """Counts requests, and tells now and then how many a second there were."""

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0

    def count(self, now: float) -> float | None:
        """One more request; those a second since the last answer, if that is old enough."""
        self._count += 1
        seconds = now - self._since
        if seconds < METER_SECONDS:
            return None
        rate = self._count / seconds
        self._count, self._since = 0, now
        return rate
