"""What is learnt of arrivals while there are inputs, and never of the times without any."""

from __future__ import annotations

import pytest

from modalnb.core.batching import Arrivals, seal_at
from modalnb.settings import BatchSettings

ADAPTIVE = BatchSettings(max_batch_size=8, wait_ms=400, adaptive=True)


def sealed(arrivals: Arrivals) -> float:
    """When the only input that waits, since now, may go."""
    return seal_at(ADAPTIVE, waiting=1, oldest=0.0, now=0.0, mean_gap=arrivals.mean_gap)


def test_nothing_is_known_before_the_first_answer() -> None:
    arrivals = Arrivals()
    arrivals.note(0.0)
    assert arrivals.mean_gap is None
    assert sealed(arrivals) == 0.4


@pytest.mark.parametrize("pause", [0.001, 10.0])
def test_lone_caller_is_not_waited_for_however_often_it_asks(pause: float) -> None:
    arrivals, now = Arrivals(), 0.0
    for _ in range(5):
        arrivals.note(now)
        now += 0.01
        arrivals.end(now)
        assert sealed(arrivals) == 0.0
        now += pause


def test_gap_between_arrivals_of_many_callers_is_their_mean() -> None:
    arrivals = Arrivals()
    for n in range(20):
        arrivals.note(n * 0.05)
    assert arrivals.mean_gap == pytest.approx(0.05)
    # The last half gap would bring less than half an arrival.
    assert sealed(arrivals) == pytest.approx(0.375)


def test_callers_that_leave_are_forgotten_and_new_ones_are_noticed() -> None:
    arrivals, now = Arrivals(), 0.0
    for _ in range(20):
        now += 0.05
        arrivals.note(now)
    for _ in range(10):
        arrivals.note(now)
        now += 0.4
        arrivals.end(now)
    assert sealed(arrivals) == 0.0
    for _ in range(10):
        now += 0.05
        arrivals.note(now)
    assert sealed(arrivals) > 0.3


def test_end_of_nothing_is_no_news() -> None:
    arrivals = Arrivals()
    arrivals.end(1.0)
    assert arrivals.mean_gap is None
