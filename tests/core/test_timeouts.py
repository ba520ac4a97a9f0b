"""Inputs that execute for too long, and containers that do not let go of them."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import CANCEL_GRACE, OVERDUE_GRACE, PATIENCE_SECONDS
from modalnb.settings import Retries
from tests.core.containers import FakeContainer
from tests.core.world import World, indices, warm

TIMEOUT = 20.0
#: When a container that says nothing is ended.
GUARD = TIMEOUT + OVERDUE_GRACE


@pytest.fixture
def world() -> World:
    world = World()
    world.define(timeout=TIMEOUT)
    return world


# -- what a container says -------------------------------------------------------------------------


def test_caller_hears_at_once_and_the_slot_is_free_when_the_container_says_so(
    world: World,
) -> None:
    container = world.ready()
    world.put("two", 2)
    world.overdue(container)
    assert world.outcomes == {("two", 0): ("timeout", TIMEOUT)}
    assert indices(container) == [0]
    world.finish(container, status="cancelled")
    assert indices(container) == [1]


def test_output_that_comes_after_the_timeout_is_dropped(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.overdue(container)
    world.finish(container, payload={"name": "segment"})
    assert world.spent == [{"name": "segment"}]
    assert world.statuses("one") == ["timeout"]


def test_timeout_that_is_told_after_the_output_is_dropped(world: World) -> None:
    container = world.ready()
    world.put("one")
    lease = container.jobs[0][0]
    world.finish(container)
    answer = world.handle(ev.LeasesOverdue(container_id=container.name, leases=[lease]))
    assert answer == []
    assert world.statuses("one") == ["ok"]


def test_timeout_that_is_told_twice_counts_once(world: World) -> None:
    world.define(timeout=TIMEOUT, retries=Retries(max_retries=1))
    container = world.ready()
    world.put("one")
    world.overdue(container)
    world.overdue(container)
    assert world.ledger.pools["a/f"].retrying == 1


def test_overdue_inputs_of_an_unknown_container_are_ignored(world: World) -> None:
    assert world.handle(ev.LeasesOverdue(container_id="gone", leases=[1])) == []


def test_container_that_clings_to_an_overdue_input_is_killed_and_blames_nobody(
    world: World,
) -> None:
    world.define(timeout=TIMEOUT, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("slow")
    world.put("innocent")
    world.overdue(container)
    world.advance(CANCEL_GRACE - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    assert container.is_killed
    world.lose(container)
    innocent = world.ledger.calls["innocent"].front[0]
    assert (innocent.losses, innocent.failures, innocent.is_suspect) == ((), 0, False)


def test_retry_of_an_overdue_input_does_not_wait_for_its_old_container(world: World) -> None:
    world.define(timeout=TIMEOUT, retries=Retries(max_retries=1, initial_delay=0.5))
    old = world.ready()
    world.put("one")
    world.overdue(old)
    other = world.ready()
    world.advance(0.5)
    assert indices(other) == [0]
    world.finish(other)
    world.finish(old)
    assert world.statuses("one") == ["ok"]


def test_overdue_input_in_a_container_that_is_being_ended(world: World) -> None:
    world.define(timeout=TIMEOUT, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("a")
    world.put("b")
    world.stuck(container)
    world.overdue(container, position=0)
    assert world.statuses("a") == ["timeout"]
    world.advance(2 * CANCEL_GRACE)
    world.lose(container)
    assert [item.call.id for item in world.ledger.calls["b"].front] == ["b"]


# -- containers that cannot stop -------------------------------------------------------------------


def test_stuck_container_is_killed_once(world: World) -> None:
    container = world.ready()
    world.put("one")
    assert world.stuck(container) == [
        ev.KillContainer(container_id=container.name, pool_id="a/f"),
        ev.PoolChanged(pool_id="a/f"),
    ]
    assert world.stuck(container) == []
    assert world.handle(ev.ContainerStuck(container_id="gone")) == []
    world.lose(container)
    other = world.ready()
    assert indices(other) == [0]


def test_container_that_is_ended_while_it_is_asked_for_inputs_back(world: World) -> None:
    container = warm(world)
    world.put("map", 3)
    world.advance(1.0)
    assert [type(order) for order in container.orders] == [ev.RecallLeases]
    world.stuck(container)
    other = world.ready()
    world.read_orders(container)
    assert (indices(container), indices(other)[:1]) == ([0], [1])
    world.lose(container)
    for _ in range(3):
        world.finish(other)
    assert world.statuses("map") == ["ok"] * 3


def test_container_that_is_being_ended_is_not_asked_for_anything(world: World) -> None:
    container = warm(world)
    world.put("map", 3)
    world.stuck(container)
    world.advance(1.0)
    assert container.orders == []
    assert world.ledger.wake_at(world.now) is None


# -- containers that say nothing -------------------------------------------------------------------


def silent(world: World, inputs: int = 1) -> FakeContainer:
    """A container whose code holds the interpreter from now on."""
    container = warm(world)
    world.put("map", inputs)
    return container


def test_container_that_says_nothing_of_an_overdue_input_is_killed(world: World) -> None:
    container = silent(world)
    world.advance(GUARD - 0.1)
    assert (world.statuses("map"), container.is_killed) == ([], False)
    world.advance(0.1)
    assert (world.statuses("map"), container.is_killed) == (["timeout"], True)


def test_inputs_that_waited_behind_an_overdue_one_run_elsewhere(world: World) -> None:
    """They have not executed for a moment, so their time is not over."""
    container = silent(world, 3)
    assert indices(container) == [0, 1, 2]
    world.advance(GUARD)
    assert world.statuses("map") == ["timeout"]
    world.lose(container)
    other = world.ready()
    assert indices(other) == [1, 2], "they are under no suspicion"


def test_input_has_its_time_from_the_end_of_the_one_before_it(world: World) -> None:
    container = silent(world, 2)
    world.advance(TIMEOUT - 1)
    world.finish(container)
    world.advance(GUARD - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    assert container.is_killed
    assert world.statuses("map") == ["ok", "timeout"]


def test_guard_looks_again_after_it_found_only_a_cancelled_input(world: World) -> None:
    """The slot is still taken at that moment, and will be used again."""
    container = world.ready()
    world.put("first")
    world.advance(TIMEOUT - 1)
    world.cancel("first")
    world.advance(2.0)
    world.finish(container, status="cancelled")
    world.put("second")
    begun = world.now
    world.advance(GUARD)
    assert container.is_killed
    assert world.now == begun + GUARD
    assert world.statuses("second") == ["timeout"]


def test_guard_looks_again_for_an_input_that_waited_behind_a_cancelled_one(world: World) -> None:
    container = silent(world, 1)
    world.put("next")
    world.advance(TIMEOUT - 1)
    world.cancel("map")
    world.advance(2.0)
    world.finish(container, status="cancelled")
    world.advance(GUARD)
    assert world.statuses("next") == ["timeout"]


def test_each_slot_has_its_own_time(world: World) -> None:
    world.define(timeout=TIMEOUT, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("early")
    world.advance(10.0)
    world.put("late")
    world.advance(GUARD - 10.0)
    assert world.statuses("early") == ["timeout"]
    assert world.statuses("late") == []
    world.lose(container)
    assert world.ledger.calls["late"].front[0].losses == ()


def test_input_that_gets_a_slot_late_has_its_time_from_then_on(world: World) -> None:
    """It waited behind one that took long, in a container that could not give it back."""
    container = silent(world, 2)
    world.advance(TIMEOUT - 1)
    world.define(timeout=TIMEOUT, max_inputs=2, target_inputs=2)
    world.advance(GUARD - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    assert container.is_killed


def test_idle_container_is_not_guarded(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.finish(container)
    world.advance(GUARD)
    assert world.ledger.wake_at(world.now) is None
    world.put("two")
    world.advance(GUARD)
    assert container.is_killed


def test_silent_container_of_retried_inputs_is_killed_for_each_attempt(world: World) -> None:
    world.define(timeout=TIMEOUT, retries=Retries(max_retries=1, initial_delay=0))
    first = world.ready()
    world.put("one")
    world.advance(GUARD)
    second = world.ready()
    assert indices(second) == [0]
    world.advance(GUARD)
    assert (first.is_killed, second.is_killed) == (True, True)
    assert world.statuses("one") == ["timeout"]


@pytest.mark.parametrize(("timeout", "ends_at"), [(5.0, 17.0), (13.0, 17.0), (40.0, 42.0)])
def test_new_timeout_holds_for_what_runs(world: World, timeout: float, ends_at: float) -> None:
    """The container has some seconds to hear of it and to act itself."""
    container = world.ready()
    world.put("one")
    world.advance(15.0)
    world.define(timeout=timeout)
    world.advance(ends_at - 15.0 - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    assert container.is_killed


def test_settings_that_leave_the_timeout_alone_do_not_put_it_off(world: World) -> None:
    container = world.ready()
    world.put("one")
    for _ in range(int(GUARD)):
        world.advance(1.0)
        world.define(timeout=TIMEOUT)
    assert container.is_killed


def test_killed_and_lost_containers_leave_no_times_behind(world: World) -> None:
    lost, killed, starting = world.ready(), world.ready(), world.expect()
    world.put("two", 2)
    world.cancel("two")
    assert len(world.ledger.agenda) == 5, "two that run, two that cling, one that starts"
    world.stuck(killed)
    world.lose(lost)
    world.lose(starting)
    assert len(world.ledger.agenda) == 0


def test_slow_inputs_hold_up_nobody_for_long(world: World) -> None:
    """Waiting for the timeout would be too late: they are asked back long before."""
    container = silent(world, 2)
    world.advance(PATIENCE_SECONDS + 1.0)
    assert [type(order) for order in container.orders] == [ev.RecallLeases]
