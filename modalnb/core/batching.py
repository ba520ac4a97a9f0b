"""Says when the waiting inputs become a batch, and keeps count of the batches that went.

Batches are sealed late: only when a slot is free is the queue looked at.  Sealed on a timer while
the last batch still runs, they would be small just when the function is slow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from modalnb.settings import BatchSettings

#: An adaptive wait is kept while it can be expected to bring so many more inputs.
WORTHWHILE_ARRIVALS = 0.5
#: What the arrivals of the past weigh when there is news of them.
FADING = 0.8
#: Upper bounds, in seconds, of the histogram of waits; the last one has none.
WAIT_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def seal_at(
    settings: BatchSettings, *, waiting: int, oldest: float, now: float, mean_gap: float | None
) -> float:
    """The time at which the waiting inputs may go as a batch; `now` when they may go at once.

    Parameters
    ----------
    settings : BatchSettings
        What the function asks for.
    waiting : int
        Inputs in the queue.
    oldest : float
        Since when the first of them waits.
    now : float
        The present time.
    mean_gap : float, optional
        Mean seconds until more inputs arrive; None until it was measured.
    """
    if waiting >= settings.max_batch_size:
        return now
    deadline = oldest + settings.wait
    if settings.adaptive and mean_gap is not None:
        deadline -= WORTHWHILE_ARRIVALS * mean_gap
    return max(now, deadline)


class Arrivals:
    """How soon more inputs arrive while there are some: what a wait for them can hope for.

    Times without any input say nothing of that.  A lone caller, who asks again as soon as there is
    an answer, makes many inputs a second, and yet none ever arrives while another one is there.
    """

    def __init__(self) -> None:
        #: Since when there are inputs and none has arrived; None while there are none.
        self._since: float | None = None
        self._seconds = 0.0
        self._count = 0.0

    def note(self, now: float) -> None:
        """Inputs have arrived; those that come at once count as one arrival."""
        if self._since is not None:
            self._fade(now - self._since, 1)
        self._since = now

    def end(self, now: float) -> None:
        """There are no inputs any more."""
        if self._since is not None:
            self._fade(now - self._since, 0)
        self._since = None

    def _fade(self, seconds: float, count: int) -> None:
        self._seconds = FADING * self._seconds + seconds
        self._count = FADING * self._count + count

    @property
    def mean_gap(self) -> float | None:
        """Mean seconds until more inputs arrive; infinite if none ever did, None: not measured."""
        if self._count:
            return self._seconds / self._count
        return float("inf") if self._seconds else None


class BatchTally:
    """How large the batches were, and how long the first input of each waited."""

    def __init__(self) -> None:
        self._sizes: Counter[int] = Counter()
        self._waits = [0] * (len(WAIT_BOUNDS) + 1)

    def note(self, size: int, wait: float) -> None:
        """One batch went."""
        self._sizes[size] += 1
        self._waits[bisect_left(WAIT_BOUNDS, wait)] += 1

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(size, batches) pairs, smallest first."""
        return tuple(sorted(self._sizes.items()))

    @property
    def waits(self) -> tuple[tuple[float, int], ...]:
        """(upper bound in seconds, batches) pairs; the last bound is infinite."""
        return tuple(zip((*WAIT_BOUNDS, float("inf")), self._waits, strict=True))
