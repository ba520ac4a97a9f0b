"""When waiting inputs are a batch, reckoned from numbers alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.core.batching import WAIT_BOUNDS, BatchTally, seal_at
from tests.core.world import batches


def ask(
    waiting: int = 1,
    *,
    oldest: float = 10.0,
    now: float = 10.0,
    gap: float | None = None,
    adaptive: bool = False,
    wait_ms: int = 1000,
) -> float:
    settings = batches(4, wait_ms, adaptive=adaptive)
    return seal_at(settings, waiting=waiting, oldest=oldest, now=now, mean_gap=gap)


def test_full_batch_goes_at_once() -> None:
    assert ask(4) == ask(9) == 10.0


def test_partial_batch_goes_when_its_oldest_input_has_waited() -> None:
    assert ask(3) == 11.0
    assert ask(3, oldest=9.5) == 10.5
    assert ask(1, oldest=2.0) == 10.0, "long ago, while no slot was free"


def test_without_a_wait_whatever_is_there_goes() -> None:
    assert ask(1, wait_ms=0) == 10.0


@pytest.mark.parametrize(
    ("gap", "at"), [(None, 11.0), (0.0, 11.0), (0.2, 10.9), (1.0, 10.5), (2.0, 10.0), (99.0, 10.0)]
)
def test_adaptive_wait_ends_when_too_little_is_to_be_expected(gap: float | None, at: float) -> None:
    assert ask(1, gap=gap, adaptive=True) == pytest.approx(at)
    assert ask(1, gap=gap) == 11.0, "only where it is asked for"
    assert ask(1, gap=math.inf, adaptive=True) == 10.0


@given(
    waiting=st.integers(1, 6),
    age=st.floats(0, 2),
    gap=st.none() | st.floats(0, 5),
    adaptive=st.booleans(),
    later=st.floats(0, 2),
)
def test_answer_does_not_depend_on_when_one_asks(
    waiting: int, age: float, gap: float | None, adaptive: bool, later: float
) -> None:
    """Whoever asks again before the time hears the same, and after it: now."""
    first = ask(waiting, oldest=10.0 - age, gap=gap, adaptive=adaptive)
    again = ask(waiting, oldest=10.0 - age, now=10.0 + later, gap=gap, adaptive=adaptive)
    assert 10.0 <= first <= max(10.0, 11.0 - age)
    assert again == max(first, 10.0 + later)


def test_tally_counts_sizes_and_waits() -> None:
    tally = BatchTally()
    for size, wait in ((4, 0.0), (1, 0.05), (4, 0.1), (2, 60.0)):
        tally.note(size, wait)
    assert tally.sizes == ((1, 1), (2, 1), (4, 2))
    assert dict(tally.waits) == {
        **dict.fromkeys(WAIT_BOUNDS, 0),
        0.001: 1,
        0.1: 2,
        math.inf: 1,
    }
