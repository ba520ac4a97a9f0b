"""Histories are bounded, keep what changed, measure throughput, and invent nothing between."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.notebook import history as module
from modalnb.notebook.history import History, PoolHistory, Ring, Sample
from modalnb.snapshot import DeviceStats
from tests.notebook.samples import POOL_ID, app, containers, mark, pool


def _seen(*pools: Any) -> PoolHistory:
    history = History()
    for each in pools:
        history.add(app(each))
    return history.pools[POOL_ID]


def test_sample_holds_states_inputs_use_and_bounds() -> None:
    facts = pool(
        5.0,
        containers=containers(busy=2, idle=1, booting=1, draining=1),
        pending=7,
        running=3,
        wait_p50=0.12345,
        settings={"min_containers": 1, "max_containers": 8, "buffer_containers": 2},
    )
    sample = _seen(facts).ring.rows[-1]
    assert sample == Sample(
        at=5.0,
        is_cut=False,
        booting=1,
        idle=1,
        busy=2,
        draining=1,
        pending=7,
        running=3,
        rate=0.0,
        wait_p50=0.123,
        wait_p95=None,
        cpu=1.0,
        cpu_most=0.5,
        memory=320,
        memory_most=64,
        minimum=1,
        maximum=8,
        buffer=2,
    )


def test_throughput_counts_outputs_of_the_last_seconds() -> None:
    seen = _seen(*(pool(at / 4, done=at * 5) for at in range(40)))
    assert seen.ring.rows[-1].rate == pytest.approx(20)
    for at in range(40, 60):
        seen.add(pool(at / 4, done=195), ())
    assert seen.ring.rows[-1].rate == 0


def test_what_does_not_change_takes_two_points() -> None:
    seen = _seen(*(pool(float(at), pending=3) for at in range(10)), pool(10.0, pending=4))
    assert [(row.at, row.pending) for row in seen.ring.rows] == [(0, 3), (9, 3), (10, 4)]


def test_looks_far_apart_cut_the_line_and_cost_nothing() -> None:
    one = containers(busy=1)
    far = 2 + module.GAP_SECONDS * 2
    seen = _seen(*(pool(at, containers=one, done=5) for at in (0.0, 1.0, 2.0, far, far + 1)))
    assert [row.is_cut for row in seen.ring.rows] == [False, False, True, False]
    assert seen.spending.seconds.busy == 3


def test_marks_are_those_of_the_pool_and_bounded() -> None:
    history = History()
    for n in range(module.MAX_MARKS + 5):
        history.add(app(pool(float(n))), [mark(n, float(n))])
    marks = history.pools[POOL_ID].marks
    assert len(marks) == module.MAX_MARKS
    assert marks[-1].seq == module.MAX_MARKS + 4


def test_marks_that_are_told_twice_are_kept_once() -> None:
    history = History()
    history.add(app(pool(1.0)), [mark(1, 0.5), mark(2, 0.6)])
    history.add(app(pool(2.0)), [mark(2, 0.6), mark(3, 1.5)])
    assert [each.seq for each in history.pools[POOL_ID].marks] == [1, 2, 3]


def test_many_pools_keep_fewer_points_each() -> None:
    history = History()
    history.add(app(*(pool(1.0, pool_id=f"ap-1/{n}") for n in range(1000))))
    kept = sum(each.ring.rows.maxlen or 0 for each in history.pools.values())
    assert kept == 1000 * module.MIN_POINTS
    assert _seen(pool()).ring.rows.maxlen == module.MAX_POINTS


def test_only_one_pool_is_kept_if_asked_for() -> None:
    history = History(only="ap-1/g")
    history.add(app(pool(1.0), pool(1.0, pool_id="ap-1/g", function="g")))
    assert list(history.pools) == ["ap-1/g"]
    assert [each.function for each in history.shown()] == ["g"]


def test_pools_and_devices_that_are_gone_are_forgotten() -> None:
    device = DeviceStats(host="h", index=0, uuid="GPU-1", name="L40S", utilization=50.0)
    history = History()
    history.add(app(pool(1.0), devices=(device,)))
    assert list(history.devices) == ["h/GPU-1"]
    history.add(app(at=2.0))
    assert not history.pools
    assert not history.devices


def test_memory_of_a_device_is_a_percentage_if_its_total_is_known() -> None:
    history = History()
    known = DeviceStats(
        host="h", index=0, uuid="a", name="A", memory_used=2**30, memory_total=2**32
    )
    history.add(app(at=1.0, devices=(known, DeviceStats(host="h", index=1, uuid="b", name="B"))))
    assert history.devices["h/a"].rows[-1].memory == 25.0
    assert history.devices["h/b"].rows[-1][2:] == (None, None)


def test_snapshots_out_of_order_are_left_out() -> None:
    history = History()
    history.add(app(pool(5.0, pending=1)))
    history.add(app(pool(4.0, pending=2)))
    assert [row.pending for row in history.pools[POOL_ID].ring.rows] == [1]


ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=60
)


@given(ROWS)
def test_ring_tells_the_same_story_as_all_points(values: list[tuple[bool, int, int]]) -> None:
    """At each time the kept points say what the full line said, and cuts stay where they were."""
    ring: Ring[Any] = Ring()
    full = [(float(at), *value) for at, value in enumerate(values)]
    for row in full:
        ring.add(row)
    assert [row for row in full if row[1]] == [row for row in ring.rows if row[1]]
    for row in full:
        held = [kept for kept in ring.rows if kept[0] <= row[0]][-1]
        assert held[2:] == row[2:]
    assert ring.rows[-1] == full[-1]


@given(st.integers(2, 50), st.integers(1, 200))
def test_ring_is_bounded(size: int, count: int) -> None:
    ring: Ring[Any] = Ring(size)
    for n in range(count):
        ring.add((float(n), False, n))
    assert len(ring.rows) == min(size, count)
    assert ring.rows[-1][2] == count - 1
