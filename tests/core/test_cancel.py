"""Cancelling a call at every state that its inputs can be in, with and without its containers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import CANCEL_GRACE
from modalnb.settings import Retries
from tests.core.containers import FakeContainer
from tests.core.world import World, batches, warm

#: Brings the call "gone", beside which "stays" may be, into a state.
Prepare = Callable[[World], FakeContainer | None]


def waiting(world: World) -> None:
    world.define()
    world.put("gone", 3)


def executing(world: World) -> FakeContainer:
    world.define()
    container = world.ready()
    world.put("gone")
    return container


def executing_beside_another(world: World) -> FakeContainer:
    world.define(max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("gone")
    world.put("stays")
    return container


def held_behind_another(world: World) -> FakeContainer:
    world.define()
    container = warm(world)
    world.put("stays")
    world.put("gone", 2)
    return container


def recalled(world: World) -> FakeContainer:
    container = held_behind_another(world)
    world.advance(1.0)
    return container


def in_a_batch_with_another(world: World) -> FakeContainer:
    world.define(batch=batches(4, 0))
    container = world.ready()
    world.put("first")
    world.put("gone", 2)
    world.put("stays")
    world.finish(container)
    return container


def in_a_batch_alone(world: World) -> FakeContainer:
    world.define(batch=batches(4, 0))
    container = world.ready()
    world.put("gone", 4)
    return container


def retrying(world: World) -> FakeContainer:
    world.define(retries=Retries(max_retries=1))
    container = world.ready()
    world.put("gone")
    world.finish(container, status="error")
    return container


def overdue(world: World) -> FakeContainer:
    world.define(retries=Retries(max_retries=1))
    container = world.ready()
    world.put("gone")
    world.overdue(container)
    return container


def in_a_killed_container(world: World) -> FakeContainer:
    container = executing_beside_another(world)
    world.stuck(container)
    return container


def in_a_draining_container(world: World) -> FakeContainer:
    container = executing(world)
    world.drain(container)
    return container


def lost_and_waiting(world: World) -> None:
    container = executing(world)
    world.lose(container)


STATES: list[Prepare] = [
    waiting,
    executing,
    executing_beside_another,
    held_behind_another,
    recalled,
    in_a_batch_with_another,
    in_a_batch_alone,
    retrying,
    overdue,
    in_a_killed_container,
    in_a_draining_container,
    lost_and_waiting,
]
#: Those in which a container is at work on the call, and not being ended yet.
AT_WORK = [
    executing,
    executing_beside_another,
    in_a_batch_with_another,
    in_a_batch_alone,
    in_a_draining_container,
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("who", ["call", "kill", "caller", "pool"])
def test_cancelled_call_ends_at_once_and_takes_nobody_along(state: Prepare, who: str) -> None:
    """Its inputs have one outcome each, nothing of it runs again, and the others go on."""
    world = World()
    state(world)
    others = ["ok" if who in ("call", "kill") else "cancelled"] * ("stays" in world.ledger.calls)
    if who == "caller":
        world.handle(ev.CallerGone(caller="alice"))
    elif who == "pool":
        for known in world.containers.values():
            known.is_draining = True
        world.handle(ev.PoolRemoved(pool_id="a/f", cancel=True))
    else:
        world.cancel("gone", kill=who == "kill")
    assert set(world.statuses("gone")) == {"cancelled"}
    assert "gone" in world.ended
    delivered = len(world.deliveries)
    finish_all(world)
    assert {job[1] for job in world.deliveries[delivered:]} <= {"stays"}
    assert world.statuses("stays") == others


def finish_all(world: World) -> None:
    """Containers read their orders, end their inputs, and go if they are to be ended."""
    for _ in range(3):
        for container in list(world.containers.values()):
            if container.is_killed or container.is_retired:
                world.lose(container, "ended")
                continue
            world.read_orders(container)
            while container.jobs:
                world.finish(container)
        world.advance(2.0)
        if world.ledger.calls:
            world.ready()
    assert not world.ledger.calls


@pytest.mark.parametrize("state", STATES)
def test_kill_ends_containers_that_are_at_work_on_the_call_and_no_others(state: Prepare) -> None:
    world = World()
    container = state(world)
    answer = world.cancel("gone", kill=True)
    killed = [i.container_id for i in answer if isinstance(i, ev.KillContainer)]
    assert killed == ([container.name] if container and state in AT_WORK else [])


def test_kill_puts_the_other_inputs_of_the_container_first_and_blames_none() -> None:
    world = World()
    container = executing_beside_another(world)
    world.cancel("gone", kill=True)
    world.lose(container)
    (stays,) = world.ledger.calls["stays"].front
    assert (stays.losses, stays.failures, stays.is_suspect) == ((), 0, False)


def test_kill_of_a_call_that_is_unknown_changes_nothing() -> None:
    assert World().cancel("never there", kill=True) == []


def test_cancelled_input_that_waits_in_a_container_is_dropped_there() -> None:
    world = World()
    container = held_behind_another(world)
    world.cancel("gone")
    world.read_orders(container)
    assert [job[1] for job in container.jobs] == ["stays"]
    world.advance(2 * CANCEL_GRACE)
    assert not container.is_killed


@pytest.mark.parametrize("state", [executing, in_a_batch_alone, overdue])
def test_container_has_some_seconds_to_let_go(state: Prepare) -> None:
    world = World()
    container = state(world)
    assert container is not None
    world.cancel("gone")
    world.advance(CANCEL_GRACE - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    assert container.is_killed
