"""Containers whose own code changes how many inputs they take at once."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import PATIENCE_SECONDS
from tests.core.world import SHORT, World, indices, warm


@pytest.fixture
def world() -> World:
    world = World()
    world.define(max_inputs=4, target_inputs=4)
    return world


def test_fewer_slots_take_fewer_inputs_and_the_others_wait(world: World) -> None:
    container = world.ready()
    world.reslot(container, 2)
    world.put("map", 5)
    assert indices(container) == [0, 1]
    other = world.ready()
    assert indices(other) == [2, 3, 4]


def test_more_slots_take_more_inputs_at_once_up_to_those_of_the_function(world: World) -> None:
    container = world.ready()
    world.reslot(container, 1)
    world.put("map", 6)
    world.reslot(container, 3)
    assert indices(container) == [0, 1, 2]
    world.reslot(container, 99)
    assert indices(container) == [0, 1, 2, 3]


def test_inputs_beyond_fewer_slots_go_on_and_no_others_come(world: World) -> None:
    container = world.ready()
    world.put("map", 6)
    world.reslot(container, 1)
    container.orders.clear()
    world.handle(ev.LeasesReturned(container_id=container.name, leases=[]))
    for left in ([1, 2, 3], [2, 3], [3]):
        world.finish(container)
        assert indices(container) == left
    world.finish(container)
    assert indices(container) == [4]


def test_inputs_held_ahead_beyond_fewer_slots_are_asked_back(world: World) -> None:
    container = warm(world)
    world.put("map", 6)
    assert indices(container) == [0, 1, 2, 3, 4, 5]
    world.reslot(container, 2)
    world.read_orders(container)
    assert indices(container) == [0, 1]


def test_container_that_cannot_give_inputs_back_is_not_asked_again_and_again(
    world: World,
) -> None:
    """It executes them, though the plane takes them for waiting since it has fewer slots."""
    container = world.ready()
    world.put("map", 4)
    world.define()
    world.advance(PATIENCE_SECONDS + 4 * SHORT)
    (recall,) = container.orders
    assert isinstance(recall, ev.RecallLeases)
    container.orders.clear()
    world.handle(ev.LeasesReturned(container_id=container.name, leases=[]))
    world.advance(10.0)
    assert container.orders == []


def test_no_input_is_held_ahead_in_a_container_with_slots_of_its_own(world: World) -> None:
    container = warm(world)
    world.reslot(container, 2)
    world.put("map", 9)
    assert indices(container) == [0, 1]


def test_slots_of_an_unknown_container_are_ignored(world: World) -> None:
    assert world.handle(ev.SlotsChanged(container_id="gone", slots=1)) == []
