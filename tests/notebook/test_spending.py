"""Container-seconds: each container is there for one purpose, and all purposes add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.notebook.spending import Seconds, Spending, split
from tests.notebook.samples import containers, pool

COUNTS = st.integers(0, 6)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.booleans())
def test_every_container_has_exactly_one_purpose(
    busy: int, idle: int, booting: int, draining: int, least: int, buffer: int, is_active: bool
) -> None:
    present = containers(busy=busy, idle=idle, booting=booting, draining=draining)
    settings = {"min_containers": least, "buffer_containers": buffer}
    parts = split(pool(containers=present, settings=settings), is_active=is_active)
    assert parts.total == len(present)
    assert min(parts.idle, parts.kept, parts.buffer) >= 0
    assert parts.busy == busy + draining
    assert parts.kept <= least
    assert parts.buffer <= (buffer if is_active else 0)


def test_idle_ones_are_kept_by_min_then_by_buffer_then_by_their_window() -> None:
    facts = pool(
        containers=containers(busy=1, idle=5),
        settings={"min_containers": 3, "buffer_containers": 1},
    )
    assert split(facts, is_active=True) == Seconds(busy=1, kept=2, buffer=1, idle=2)
    assert split(facts, is_active=False) == Seconds(busy=1, kept=2, idle=3)


def test_buffer_counts_for_a_window_after_the_last_input() -> None:
    spending = Spending()
    settings = {"buffer_containers": 1, "scaledown_window": 10}
    for at, pending in ((0, 1), (1, 0), (9, 0), (11, 0), (21, 0)):
        one = containers(idle=1)
        spending.add(pool(float(at), pending=pending, containers=one, settings=settings))
    assert spending.seconds.buffer == pytest.approx(11)
    assert spending.seconds.idle == pytest.approx(10)


@given(st.lists(st.tuples(st.floats(0.01, 100), COUNTS, COUNTS), max_size=20))
def test_seconds_are_the_integral_of_the_containers(steps: list[tuple[float, int, int]]) -> None:
    spending, at, expected, before = Spending(), 0.0, 0.0, 0
    for pause, busy, idle in steps:
        at += pause
        expected += before * pause if before else 0.0
        spending.add(pool(at, containers=containers(busy=busy, idle=idle)))
        before = busy + idle
    assert spending.seconds.total == pytest.approx(expected)
