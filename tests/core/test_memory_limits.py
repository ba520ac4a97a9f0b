"""Containers that were ended for the memory that they used: which input is blamed, and when."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import MAX_LIMIT_LOSSES
from tests.core.world import FakeContainer, World, indices


@pytest.fixture
def world() -> World:
    world = World()
    world.define()
    return world


def exceed(world: World, container: FakeContainer) -> None:
    """End a container for its memory."""
    del world.containers[container.name]
    for _, call_id, index in container.executing:
        world.losses[call_id, index] = world.losses.get((call_id, index), 0) + 1
    world.handle(ev.ContainerLost(container_id=container.name, story="too much", over_limit=True))


def test_input_that_was_alone_in_a_fresh_container_is_blamed_at_once(world: World) -> None:
    container = world.ready()
    world.put("call")
    exceed(world, container)
    assert world.outcomes["call", 0] == ("lost", ("too much",))


def test_input_in_a_used_container_is_tried_again(world: World) -> None:
    container = world.ready()
    world.put("call", 2)
    world.finish(container)
    assert indices(container) == [1]
    exceed(world, container)
    assert ("call", 1) not in world.outcomes
    exceed(world, world.ready())
    assert world.outcomes["call", 1] == ("lost", ("too much",) * 2)


def test_input_is_not_tried_in_ever_more_used_containers(world: World) -> None:
    world.put("call")
    for _ in range(MAX_LIMIT_LOSSES):
        assert not world.outcomes
        container = world.ready()
        world.ledger.containers[container.name].done = 1
        exceed(world, container)
    assert world.outcomes["call", 0] == ("lost", ("too much",) * MAX_LIMIT_LOSSES)


def test_inputs_that_shared_a_container_are_not_told_apart() -> None:
    world = World()
    world.define(max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("call", 2)
    exceed(world, container)
    assert not world.outcomes
    assert world.losses == {("call", 0): 1, ("call", 1): 1}
