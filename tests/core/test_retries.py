"""Inputs that are tried again: how often, when, and what becomes of them meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.core import events as ev
from modalnb.core.leasing import MAX_BOOT_FAILURES
from modalnb.settings import Limits, Retries
from tests.core.containers import FakeContainer
from tests.core.world import World, settings

TWICE = Retries(max_retries=2, initial_delay=1.0)


@pytest.fixture
def world() -> World:
    world = World(Limits(pending=4, total=5, pending_spawns=4))
    world.define(retries=TWICE)
    return world


def fail(world: World, container: FakeContainer) -> list[ev.Instruction]:
    return world.finish(container, status="error", payload=b"ValueError")


# -- how often and when --------------------------------------------------------------------------


@given(
    max_retries=st.integers(0, 6),
    coefficient=st.floats(1, 10),
    initial=st.floats(0, 60),
    longest=st.floats(1, 60),
)
def test_attempts_and_delays_are_those_of_the_policy(
    max_retries: int, coefficient: float, initial: float, longest: float
) -> None:
    world = World()
    policy = Retries(
        max_retries=max_retries,
        backoff_coefficient=coefficient,
        initial_delay=initial,
        max_delay=longest,
    )
    world.define(retries=policy, timeout=86_400)
    container = world.ready()
    world.put("one")
    for attempt in range(1, max_retries + 1):
        failed_at = world.now
        fail(world, container)
        assert (len(world.deliveries), world.outcomes) == (attempt, {})
        delay = min(longest, initial * coefficient ** (attempt - 1))
        due = world.ledger.wake_at(world.now)
        assert due == pytest.approx(failed_at + delay)
        assert due is not None
        world.advance(due - world.now)
        assert len(container.jobs) == 1, "not a moment later"
    fail(world, container)
    assert world.outcomes["one", 0] == ("error", b"ValueError")
    assert len(world.deliveries) == max_retries + 1
    assert world.ended == ["one"]


def test_success_ends_the_attempts(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    world.advance(1.0)
    world.finish(container)
    assert world.statuses("one") == ["ok"]
    world.advance(100.0)
    assert len(world.deliveries) == 2


def test_timeouts_are_tried_again_like_errors(world: World) -> None:
    container = world.ready()
    world.put("one")
    for _ in range(2):
        world.overdue(container)
        world.finish(container, status="cancelled")
        world.advance(2.0)
    world.overdue(container)
    assert world.statuses("one") == ["timeout"]


def test_cancelled_output_is_no_failure(world: World) -> None:
    """User code that cancels itself has an outcome."""
    container = world.ready()
    world.put("one")
    world.finish(container, status="cancelled")
    assert world.statuses("one") == ["cancelled"]


def test_lost_containers_use_up_no_retries(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    world.advance(1.0)
    for _ in range(3):
        world.lose(container)
        container = world.ready()
    fail(world, container)
    world.advance(2.0)
    fail(world, container)
    assert world.statuses("one") == ["error"]
    assert len(world.deliveries) == 6


def test_payload_of_a_failed_attempt_is_not_needed_any_more(world: World) -> None:
    container = world.ready()
    arguments, trace = {"name": "arguments"}, {"name": "traceback"}
    world.put("one", payload=arguments)
    world.finish(container, status="error", payload=trace)
    assert world.spent == [trace]
    world.advance(1.0)
    world.finish(container)
    assert world.spent == [trace, arguments]


# -- while an input waits for its next attempt -----------------------------------------------------


def test_waiting_for_a_retry_takes_no_slot(world: World) -> None:
    container = world.ready()
    world.put("bad")
    fail(world, container)
    world.put("good")
    assert [job[1] for job in container.jobs] == ["good"]
    pool = world.ledger.pools["a/f"]
    assert (pool.waiting, pool.retrying, pool.retrying_live) == (0, 1, 1)


def test_retried_input_goes_before_the_others_of_its_call(world: World) -> None:
    container = world.ready()
    world.put("map", 4)
    world.put("other")
    fail(world, container)
    world.advance(1.0)
    for _ in range(3):
        world.finish(container)
    order = [job[1:] for job in world.deliveries]
    assert order == [("map", 0), ("map", 1), ("other", 0), ("map", 0), ("map", 2)]


def test_retry_that_finds_no_slot_wakes_the_autoscaler(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    world.lose(container)
    world.woken.clear()
    world.advance(1.0)
    assert world.woken == {"a/f"}
    world.ready()
    assert len(world.deliveries) == 2


@pytest.mark.parametrize(
    ("kind", "limit", "refused_at"),
    [("live", "inputs in total", 4), ("durable", "pending spawned inputs", 3)],
)
def test_input_that_waits_for_a_retry_counts_against_the_limits(
    world: World, kind: ev.CallKind, limit: str, refused_at: int
) -> None:
    container = world.ready()
    world.put("bad", kind=kind)
    fail(world, container)
    world.lose(container)
    world.define(retries=TWICE, max_inputs=2)
    for n in range(refused_at):
        world.put(f"call-{n}", kind=kind)
    assert world.refusals == []
    if kind == "live":
        world.ready()
        world.put("more")
    world.put("late", 4, kind=kind)
    assert world.refusals[0].limit == limit


@pytest.mark.parametrize("kind", ["live", "durable"])
def test_cancelled_input_is_not_tried_again(world: World, kind: ev.CallKind) -> None:
    container = world.ready()
    world.put("one", kind=kind)
    fail(world, container)
    world.cancel("one")
    assert world.statuses("one") == ["cancelled"]
    assert world.ended == ["one"]
    world.advance(100.0)
    assert len(world.deliveries) == 1
    assert {matter for matter, _ in world.ledger.agenda.matters()} == {"overdue"}


def test_caller_that_goes_takes_its_retries_along(world: World) -> None:
    container = world.ready()
    world.put("live")
    fail(world, container)
    world.put("durable", kind="durable")
    fail(world, container)
    world.handle(ev.CallerGone(caller="alice"))
    assert world.ended == ["live"]
    world.advance(1.0)
    assert [job[1] for job in container.jobs] == ["durable"]


def test_pool_that_leaves_waits_for_its_retries(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    world.handle(ev.PoolRemoved(pool_id="a/f"))
    world.drain(container)
    world.lose(container)
    assert world.gone_pools == []
    world.woken.clear()
    world.advance(1.0)
    assert world.woken == {"a/f"}, "it wants a container once more"
    container = world.ready()
    world.finish(container)
    world.drain(container)
    world.lose(container)
    assert world.statuses("one") == ["ok"]
    assert world.gone_pools == ["a/f"]


def test_pool_that_is_removed_with_its_calls_forgets_its_retries(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    container.is_draining = True
    world.handle(ev.PoolRemoved(pool_id="a/f", cancel=True))
    world.lose(container)
    assert world.gone_pools == ["a/f"]
    assert world.ledger.wake_at(world.now) is None


def test_failed_starts_are_told_when_the_retry_is_due_and_they_go_on(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    world.lose(container)
    for _ in range(MAX_BOOT_FAILURES):
        world.lose(world.expect(), "exit code 1")
    assert world.statuses("one") == [], "it waits for nothing but its time"
    world.advance(1.0)
    assert world.statuses("one") == []
    world.lose(world.expect(), "exit code 1")
    assert world.statuses("one") == ["lost"]


def test_new_policy_counts_from_the_next_failure_on(world: World) -> None:
    container = world.ready()
    world.put("one")
    fail(world, container)
    world.define(retries=Retries(max_retries=1), autoscaler=settings(least=1))
    world.advance(1.0)
    fail(world, container)
    assert world.statuses("one") == ["error"]


def test_storm_of_retries_ends_with_every_input_done(world: World) -> None:
    world = World()
    world.define(retries=Retries(max_retries=3, initial_delay=0), max_inputs=5, target_inputs=5)
    container = world.ready()
    world.put("map", 60)
    done = 0
    while world.ledger.calls:
        done += 1
        status: ev.Status = "error" if done % 2 else "ok"
        world.finish(container, min(3, len(container.slots)), status=status, seconds=1.0)
        world.advance(0.0)
    assert set(world.statuses("map")) <= {"ok", "error"}
    assert len(world.outcomes) == 60
