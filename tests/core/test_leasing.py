"""The life of containers: leases, losses, recalls, drains and kills."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import (
    CANCEL_GRACE,
    PATIENCE_MEANS,
    PATIENCE_SECONDS,
)
from modalnb.core.placement import MAX_PREFETCH
from modalnb.settings import DEFAULT_TIMEOUT
from tests.core.containers import FakeContainer
from tests.core.world import SHORT, World, indices, warm


@pytest.fixture
def world() -> World:
    world = World()
    world.define()
    return world


def quiet(world: World) -> bool:
    """Whether the ledger wants to be left alone until something runs for much too long."""
    wake_at = world.ledger.wake_at(world.now)
    return wake_at is not None and wake_at >= DEFAULT_TIMEOUT


# -- placement ---------------------------------------------------------------------------------


def test_calls_take_turns_and_each_is_served_in_order(world: World) -> None:
    container = world.ready()
    world.put("busy")
    for name, count in (("a", 3), ("b", 2), ("c", 1)):
        world.put(name, count)
    for _ in range(7):
        world.finish(container)
    assert [(call, index) for _, call, index in world.deliveries[1:]] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("a", 1),
        ("b", 1),
        ("a", 2),
    ]


def test_inputs_pack_one_container_up_to_its_target_then_the_next(world: World) -> None:
    world.define(max_inputs=4, target_inputs=2)
    first, second = world.ready(), world.ready()
    world.put("four", 4)
    assert (len(first.jobs), len(second.jobs)) == (2, 2)
    world.put("more", 2)
    assert (len(first.jobs), len(second.jobs)) == (3, 3)


def test_short_inputs_are_held_ahead_and_slow_ones_are_not(world: World) -> None:
    container = warm(world)
    world.put("short", 10)
    assert len(container.jobs) == 3
    slow = World()
    slow.define()
    container = warm(slow, seconds=1.0)
    slow.put("slow", 10)
    assert len(container.jobs) == 1


# -- late messages -----------------------------------------------------------------------------


def test_second_output_of_a_lease_is_dropped_and_given_back(world: World) -> None:
    container = world.ready()
    world.put("one")
    lease = container.jobs[0][0]
    world.finish(container)
    again = world.outputs(container.name, [(lease, "ok", {"name": "segment"}, 1.0)])
    assert again == [ev.PayloadsSpent(payloads=({"name": "segment"},))]


def test_output_of_a_lost_container_is_dropped_and_given_back(world: World) -> None:
    container = world.ready()
    world.put("one")
    lease = container.jobs[0][0]
    world.lose(container)
    late = world.outputs(container.name, [(lease, "ok", {"name": "segment"}, 1.0)])
    assert late == [ev.PayloadsSpent(payloads=({"name": "segment"},))]
    assert world.statuses("one") == []


def test_leases_returned_twice_or_by_nobody_are_ignored(world: World) -> None:
    container = world.ready()
    idle_since = world.ledger.containers[container.name].idle_since
    world.now = 5.0
    assert world.handle(ev.LeasesReturned(container_id=container.name, leases=[7])) == []
    assert world.handle(ev.LeasesReturned(container_id="gone", leases=[7])) == []
    assert world.ledger.containers[container.name].idle_since == idle_since


# -- recalls -----------------------------------------------------------------------------------


def behind_a_slow_input(world: World) -> tuple[FakeContainer, float]:
    """A container that holds two inputs behind one, and when it is found to be slow."""
    container = warm(world)
    world.put("map", 3)
    return container, world.now + PATIENCE_SECONDS + PATIENCE_MEANS * SHORT


def test_inputs_behind_a_slow_one_are_recalled_and_run_elsewhere(world: World) -> None:
    container, patience = behind_a_slow_input(world)
    world.now = patience
    world.handle(ev.Tick())
    assert container.orders == [], "not yet"
    world.now = patience + 0.001
    world.handle(ev.Tick())
    assert container.orders == [ev.RecallLeases(container_id=container.name, leases=(3, 4))]
    world.handle(ev.Tick())
    assert len(container.orders) == 1, "asked once"
    world.woken.clear()
    world.read_orders(container)
    assert world.woken == {"a/f"}, "they want a container"
    other = world.ready()
    assert (indices(container), indices(other)[0]) == ([0], 1)


def test_nothing_is_held_behind_a_slow_input_until_one_has_ended(world: World) -> None:
    container, patience = behind_a_slow_input(world)
    world.now = patience + 1
    world.handle(ev.Tick())
    world.read_orders(container)
    assert quiet(world)
    world.put("more", 1)
    assert indices(container) == [0]
    world.finish(container, seconds=SHORT)
    assert indices(container) == [1, 0, 2], "calls take turns"


def test_recalled_container_takes_nothing_until_it_has_answered(world: World) -> None:
    container, patience = behind_a_slow_input(world)
    world.now = patience + 1
    world.handle(ev.Tick())
    world.finish(container, seconds=SHORT)
    world.put("more", 5)
    assert indices(container) == [1, 2]
    world.read_orders(container)
    assert indices(container) == [1, 2, 0]
    assert [job[1] for job in container.jobs] == ["map", "map", "more"]


def test_drained_container_that_gives_back_all_that_is_left_leaves(world: World) -> None:
    container, patience = behind_a_slow_input(world)
    world.now = patience + 1
    world.handle(ev.Tick())
    world.drain(container)
    world.finish(container)
    leases = [job[0] for job in container.jobs]
    container.jobs = []
    world.handle(ev.LeasesReturned(container_id=container.name, leases=leases))
    assert container.is_retired
    assert [item.index for item in reversed(world.ledger.calls["map"].front)] == [1, 2]


# -- draining ----------------------------------------------------------------------------------


def test_drained_container_leaves_when_its_slots_are_free(world: World) -> None:
    container = world.ready()
    world.put("two", 2)
    world.drain(container)
    world.drain(container)
    assert not container.is_retired
    world.finish(container)
    assert container.is_retired
    assert world.ledger.pools["a/f"].waiting == 1


def test_drained_container_gives_back_what_it_has_not_started(world: World) -> None:
    container = warm(world)
    world.put("map", 3)
    other = world.ready()
    world.drain(container)
    world.read_orders(container)
    assert indices(container) == [0]
    assert indices(other) == [1, 2]


def test_drain_of_an_unknown_container_is_ignored(world: World) -> None:
    assert world.handle(ev.DrainAsked(container_ids=("gone",))) == []


# -- cancelled inputs that do not end ----------------------------------------------------------


def test_container_that_clings_to_a_cancelled_input_is_killed(world: World) -> None:
    container = world.ready()
    world.put("stuck")
    world.handle(ev.CallCancelled(call_id="stuck"))
    assert world.ledger.wake_at(world.now) == CANCEL_GRACE
    world.now = CANCEL_GRACE - 0.1
    assert world.handle(ev.Tick()) == []
    world.now = CANCEL_GRACE
    assert world.handle(ev.Tick()) == [
        ev.KillContainer(container_id=container.name, pool_id="a/f"),
        ev.PoolChanged(pool_id="a/f"),
    ]
    assert world.ledger.wake_at(world.now) is None
    world.put("next")
    assert [job[1] for job in container.jobs] == ["stuck"]


def test_kill_blames_none_of_the_others_in_the_container(world: World) -> None:
    world.define(max_inputs=3, target_inputs=3)
    container = world.ready()
    world.put("stuck", 2)
    world.put("innocent", closed=False)
    world.handle(ev.CallCancelled(call_id="stuck"))
    world.now = CANCEL_GRACE
    killed = world.handle(ev.Tick())
    assert sum(isinstance(order, ev.KillContainer) for order in killed) == 1
    world.handle(ev.CallCancelled(call_id="nothing"))
    world.lose(container, "killed")
    item = world.ledger.calls["innocent"].front[0]
    assert (item.losses, item.is_suspect) == ((), False)


def test_killed_container_that_lets_go_after_all_is_retired(world: World) -> None:
    """A worker that others have started is not ours to end, but free for other functions."""
    world.define(max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("stuck")
    world.put("other")
    world.handle(ev.CallCancelled(call_id="stuck"))
    world.now = CANCEL_GRACE
    world.handle(ev.Tick())
    world.handle(ev.CallCancelled(call_id="other"))
    world.finish(container, 2, status="cancelled")
    assert container.is_retired


def test_cancelled_input_that_lets_go_in_time_costs_nobody_a_container(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.handle(ev.CallCancelled(call_id="one"))
    world.finish(container, status="cancelled")
    assert quiet(world)


def test_each_cancelled_input_has_its_own_time_to_let_go(world: World) -> None:
    """A container that lets go of each in time is not killed for cancels that go on."""
    world.define(max_inputs=2, target_inputs=2)
    container = world.ready()
    for n in range(6):
        world.put(f"call-{n}")
        world.handle(ev.CallCancelled(call_id=f"call-{n}"))
        world.now += CANCEL_GRACE * 0.4
        world.handle(ev.Tick())
        if n:
            world.finish(container, status="cancelled")
    assert not container.is_killed


def test_cancelled_input_that_is_given_back_is_not_waited_for(world: World) -> None:
    container = warm(world)
    world.put("first")
    world.put("second")
    world.put("third")
    world.now = 10.0
    world.handle(ev.Tick())
    world.handle(ev.CallCancelled(call_id="second"))
    world.read_orders(container)
    assert [job[1] for job in container.jobs] == ["first"]
    world.now += CANCEL_GRACE
    world.handle(ev.Tick())
    assert not container.is_killed


def test_short_inputs_are_held_ahead_up_to_a_bound(world: World) -> None:
    container = warm(world, seconds=0.0)
    world.put("many", 500)
    assert len(container.jobs) == 1 + MAX_PREFETCH


def test_slots_of_a_container_that_is_gone_change_nothing(world: World) -> None:
    assert world.handle(ev.SlotsChanged(container_id="gone", slots=2)) == []
