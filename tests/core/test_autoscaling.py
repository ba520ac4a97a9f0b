from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modalnb.core.autoscaling import (
    FIRST_BACKOFF,
    MAX_BACKOFF,
    Decision,
    Memory,
    decide,
)
from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import ContainerState, ContainerStats, PoolSnapshot
from tests.core.world import settings

NOW = 1000.0


def container(
    name: str, state: ContainerState = "idle", *, age: float = 0.0, running: int = 0
) -> ContainerStats:
    since = NOW - age if state == "idle" else None
    return ContainerStats(container_id=name, state=state, idle_since=since, running=running)


def pool(*containers: ContainerStats, **facts: Any) -> PoolSnapshot:
    running = facts.pop("running", sum(c.running for c in containers))
    return PoolSnapshot(
        pool_id="a/f",
        app="a",
        function="f",
        taken_at=NOW,
        containers=containers,
        running=running,
        **facts,
    )


def ask(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory | None = None
) -> Decision:
    return decide(snapshot, limits, memory or Memory(), NOW)[0]


# -- demand → needed → buffered → bounded ----------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "limits", "desired", "reason"),
    [
        ({}, settings(), 0, "no inputs → want 0, have 0: stay"),
        (
            {"pending": 37, "running": 8, "target_inputs": 2},
            settings(most=10),
            10,
            "37 pending + 8 running at 2 per container = 23 capped by max 10 → want 10, have 0: "
            "start 10",
        ),
        (
            {"pending": 1},
            settings(buffer=2),
            3,
            "1 pending + 0 running at 1 per container = 1 + buffer 2 → want 3, have 0: start 3",
        ),
        ({}, settings(least=2), 2, "no inputs raised to min 2 → want 2, have 0: start 2"),
        (
            {"pending": 9, "share": 4},
            settings(buffer=1),
            5,
            "9 pending + 0 running at 1 per container = 9, capped by its share of the cores: 4 "
            "+ buffer 1 → want 5, have 0: start 5",
        ),
        (
            {"pending": 9, "room": 3},
            settings(),
            3,
            "9 pending + 0 running at 1 per container = 9 capped by what the cluster can hold: 3 "
            "→ want 3, have 0: start 3",
        ),
        (
            {"pending": 9, "share": 2, "room": 2, "room_words": "2 free H100"},
            settings(),
            2,
            "9 pending + 0 running at 1 per container = 9 capped by 2 free H100: 2 "
            "→ want 2, have 0: start 2",
        ),
    ],
)
def test_decide_on_an_empty_pool_says_how_it_came_to_its_number(
    facts: dict[str, Any], limits: AutoscalerSettings, desired: int, reason: str
) -> None:
    decision = ask(pool(**facts), limits)
    assert (decision.desired, decision.start, decision.reason) == (desired, desired, reason)


def test_decide_counts_booting_containers_as_present() -> None:
    decision = ask(pool(container("a", "booting"), pending=3), settings())
    assert (decision.desired, decision.start) == (3, 2)
    assert decision.reason.endswith("have 1 (1 starting): start 2")


def test_decide_does_not_replace_a_draining_container_for_what_it_still_runs() -> None:
    draining = container("a", "draining", running=1)
    decision = ask(pool(draining), settings())
    assert decision.desired == 0
    assert decision.reason.startswith("1 running where no more go → want 0")
    assert ask(pool(draining, pending=1), settings()).start == 1


def test_decide_waits_for_draining_containers_when_there_is_no_room() -> None:
    decision = ask(pool(container("a", "draining"), pending=1), settings(most=1))
    assert (decision.desired, decision.start) == (1, 0)
    assert decision.reason.endswith("wait for draining ones to leave")


def test_decide_counts_what_is_served_while_a_container_starts() -> None:
    # A container starts in 1 s and serves ten inputs meanwhile, one more when it is there.
    facts = {"mean_boot": 1.0, "mean_duration": 0.1}
    assert ask(pool(pending=11, **facts), settings()).desired == 1
    decision = ask(pool(pending=12, **facts), settings())
    assert decision.desired == 2
    assert "11 served per container while one starts = 2" in decision.reason
    assert ask(pool(pending=3, mean_boot=0.1, mean_duration=1.0), settings()).desired == 3
    assert ask(pool(pending=3, mean_boot=1.0, mean_duration=0.0), settings()).desired == 1


# -- batches, single use, containers that wait for others ------------------------------------------


@pytest.mark.parametrize(
    ("facts", "desired", "words"),
    [
        ({"pending": 32, "max_batch_size": 32}, 1, "at 32 per container = 1"),
        ({"pending": 33, "max_batch_size": 32}, 2, "at 32 per container = 2"),
        (
            {"pending": 65, "max_batch_size": 16, "max_inputs": 4, "target_inputs": 2},
            3,
            "at 32 per container = 3",
        ),
    ],
)
def test_batch_counts_as_what_a_slot_carries(
    facts: dict[str, Any], desired: int, words: str
) -> None:
    decision = ask(pool(**facts), settings())
    assert decision.desired == desired
    assert words in decision.reason


def test_short_batches_do_not_start_a_crowd() -> None:
    # Ten batches of four are served while a container starts, and one more when it is there.
    facts = {"mean_boot": 1.0, "mean_duration": 0.1, "max_batch_size": 4}
    assert ask(pool(pending=44, **facts), settings()).desired == 1
    assert ask(pool(pending=45, **facts), settings()).desired == 2


def test_single_use_needs_a_container_for_each_input_however_short() -> None:
    facts = {"single_use": True, "mean_boot": 1.0, "mean_duration": 0.001}
    decision = ask(pool(pending=5, max_inputs=8, target_inputs=8, **facts), settings())
    assert decision.start == 5
    assert "5 pending + 0 running at 1 per container, which is used once = 5" in decision.reason
    assert ask(pool(pending=5, max_batch_size=4, **facts), settings()).start == 2


def test_single_use_containers_at_work_take_no_more_and_want_no_other() -> None:
    used = [container(name, "draining", running=1) for name in "abc"]
    decision = ask(pool(*used, pending=1, single_use=True), settings(most=4))
    assert (decision.desired, decision.start) == (1, 1)
    decision = ask(pool(*used, pending=2, single_use=True), settings(most=4))
    assert (decision.desired, decision.start) == (2, 1), "they count until they are gone"


@pytest.mark.parametrize(("blocked", "desired"), [(0, 2), (1, 3), (5, 7), (9, 8)])
def test_containers_that_only_wait_leave_their_share_to_others(blocked: int, desired: int) -> None:
    busy = [container(str(n), "busy", running=1) for n in range(2)]
    decision = ask(pool(*busy, pending=6, share=2, blocked=blocked), settings())
    assert decision.desired == desired
    assert ("share of the cores" in decision.reason) == (desired < 8)


def test_blocked_containers_do_not_lift_the_maximum() -> None:
    facts = {"pending": 9, "share": 2, "blocked": 4}
    assert ask(pool(**facts), settings(most=3)).desired == 3


# -- buffer ------------------------------------------------------------------------------------


def test_buffer_stays_for_a_window_after_the_last_demand_and_asks_to_be_woken() -> None:
    limits = settings(buffer=2, window=10)
    _, memory = decide(pool(pending=1), limits, Memory(), NOW)
    assert memory == Memory(active_at=NOW)
    idle = pool(container("a"), container("b"))
    decision, after = decide(idle, limits, memory, NOW + 9.9)
    assert (decision.desired, decision.drain, decision.wake_at) == (2, (), NOW + 10)
    assert after == memory
    decision, _ = decide(idle, limits, memory, NOW + 10)
    assert (decision.desired, decision.drain) == (0, ("a", "b"))


# -- starting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "delay"), [(1, FIRST_BACKOFF), (2, 1.0), (4, 4.0), (99, MAX_BACKOFF)]
)
def test_failed_starts_are_followed_by_a_growing_pause(failures: int, delay: float) -> None:
    facts = {"pending": 1, "boot_failures": failures, "boot_failed_at": NOW - delay}
    assert ask(pool(**facts), settings()).start == 1
    decision = ask(pool(**{**facts, "boot_failed_at": NOW - delay + 0.2}), settings())
    assert (decision.start, decision.desired) == (0, 1)
    assert decision.wake_at == pytest.approx(NOW + 0.2)
    assert f"{failures} failed to start, next try in 0.2 s" in decision.reason


# -- draining ----------------------------------------------------------------------------------


def test_drain_takes_the_longest_idle_of_those_beyond_their_window() -> None:
    aged = pool(container("a", age=5), container("b", age=20), container("c", age=12))
    decision = ask(aged, settings(window=10))
    assert decision.drain == ("b", "c")
    assert decision.wake_at == NOW + 5
    assert ask(aged, settings(least=2, window=10)).drain == ("b",)


def test_drain_keeps_young_ones_and_says_so() -> None:
    decision = ask(pool(container("a", age=5)), settings(window=10))
    assert (decision.drain, decision.wake_at) == ((), NOW + 5)
    assert decision.reason.endswith("keep the others until their scaledown window is over")


def test_lowered_maximum_drains_idle_then_booting_then_the_least_busy() -> None:
    crowd = pool(
        container("a", "busy", running=2),
        container("b", "busy", running=1),
        container("c", "booting"),
        container("d"),
        max_inputs=2,
        target_inputs=2,
    )
    for most, drained in ((3, "d"), (2, "dc"), (1, "dcb")):
        assert ask(crowd, settings(most=most)).drain == tuple(drained)


def test_contended_pool_yields_all_above_its_share_at_once() -> None:
    facts = {"pending": 9, "share": 1}
    crowd = pool(container("a", "busy", running=1), container("b", "busy", running=1), **facts)
    assert ask(crowd, settings()).drain == ()
    decision = ask(replace(crowd, contended=True), settings())
    assert decision.drain == ("a",)
    assert decision.reason.endswith("drain 1, others wait for room")
    young = pool(container("a"), container("b"), contended=True)
    assert ask(young, settings(least=1)).drain == ("a",)


def test_idle_container_of_unknown_age_counts_as_young() -> None:
    unknown = ContainerStats(container_id="a", state="idle")
    decision = ask(pool(unknown), settings(window=10))
    assert (decision.drain, decision.wake_at) == ((), NOW + 10)


# -- properties --------------------------------------------------------------------------------

STATES: list[ContainerState] = ["booting", "idle", "busy", "draining"]


@st.composite
def snapshots(draw: st.DrawFn) -> PoolSnapshot:
    most = draw(st.integers(1, 8))
    containers = []
    for n in range(draw(st.integers(0, 8))):
        state = draw(st.sampled_from(STATES))
        running = draw(st.integers(1, most)) if state == "busy" else 0
        age = draw(st.floats(0, 100))
        containers.append(container(str(n), state, age=age, running=running))
    return pool(
        *containers,
        pending=draw(st.integers(0, 200)),
        max_inputs=most,
        target_inputs=draw(st.integers(1, most)),
        max_batch_size=draw(st.sampled_from([1, 1, 4])),
        single_use=draw(st.booleans()),
        blocked=draw(st.integers(0, 3)),
        share=draw(st.none() | st.integers(0, 8)),
        room=draw(st.none() | st.integers(0, 12)),
        contended=draw(st.booleans()),
        mean_duration=draw(st.none() | st.floats(0, 10)),
        mean_boot=draw(st.none() | st.floats(0, 10)),
        boot_failures=draw(st.integers(0, 3)),
        boot_failed_at=draw(st.floats(NOW - 5, NOW)),
    )


@st.composite
def autoscalers(draw: st.DrawFn) -> AutoscalerSettings:
    least = draw(st.integers(0, 5))
    most = draw(st.none() | st.integers(max(1, least), 10))
    return settings(least, most, draw(st.integers(0, 3)), draw(st.sampled_from([0.0, 5.0, 60.0])))


def memories() -> st.SearchStrategy[Memory]:
    return st.builds(Memory, active_at=st.sampled_from([-float("inf"), NOW - 30, NOW - 1]))


@given(snapshots(), autoscalers(), memories())
def test_desired_lies_between_minimum_and_maximum_as_far_as_there_is_room(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory
) -> None:
    decision = ask(snapshot, limits, memory)
    ceiling = min(
        limits.max_containers if limits.max_containers is not None else 10**9,
        snapshot.room if snapshot.room is not None else 10**9,
    )
    assert min(limits.min_containers, ceiling) <= decision.desired <= ceiling
    assert len(snapshot.containers) + decision.start <= max(ceiling, len(snapshot.containers))


@given(snapshots(), autoscalers(), memories(), st.integers(0, 50))
def test_more_demand_never_wants_fewer_containers(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory, more: int
) -> None:
    fewer = ask(snapshot, limits, memory)
    busier = ask(replace(snapshot, pending=snapshot.pending + more), limits, memory)
    assert busier.desired >= fewer.desired
    assert len(busier.drain) <= len(fewer.drain)


@given(snapshots(), autoscalers(), memories())
def test_same_facts_give_the_same_decision(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory
) -> None:
    again = PoolSnapshot.from_dict(snapshot.to_dict())
    assert decide(snapshot, limits, memory, NOW) == decide(again, limits, memory, NOW)


@given(snapshots(), autoscalers(), memories())
def test_only_idle_containers_beyond_their_window_are_drained_within_the_bounds(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory
) -> None:
    present = {c.container_id: c for c in snapshot.containers if c.state != "draining"}
    ceilings = [c for c in (limits.max_containers, snapshot.room) if c is not None]
    assume(not snapshot.contended and all(len(present) <= c for c in ceilings))
    decision = ask(snapshot, limits, memory)
    for name in decision.drain:
        since = present[name].idle_since
        assert present[name].state == "idle"
        assert since is not None
        assert since + limits.scaledown_window <= NOW
    kept = len(present) - len(decision.drain)
    assert kept >= min(len(present), decision.desired)


@given(snapshots(), autoscalers(), memories())
def test_nothing_is_started_and_drained_at_once_and_the_next_look_lies_ahead(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory
) -> None:
    decision = ask(snapshot, limits, memory)
    assert not (decision.start and decision.drain)
    assert len(set(decision.drain)) == len(decision.drain)
    if decision.wake_at is not None:
        assert decision.wake_at > NOW


@given(snapshots(), autoscalers(), memories())
def test_reason_names_every_term(
    snapshot: PoolSnapshot, limits: AutoscalerSettings, memory: Memory
) -> None:
    decision = ask(snapshot, limits, memory)
    assert f"want {decision.desired}, have" in decision.reason
    if snapshot.pending:
        assert f"{snapshot.pending} pending" in decision.reason
        if limits.buffer_containers:
            assert f"buffer {limits.buffer_containers}" in decision.reason
    if decision.start:
        assert f"start {decision.start}" in decision.reason
    elif decision.drain:
        assert f"drain {len(decision.drain)}" in decision.reason
