"""Containers that were ended for the memory that they used: which input is blamed, and when."""

from __future__ import annotations

import pytest

from modalnb.core.leasing import MAX_LIMIT_LOSSES
from tests.core.containers import FakeContainer
from tests.core.world import World, indices


@pytest.fixture
def world() -> World:
    world = World()
    world.define()
    return world


def exceed(world: World, container: FakeContainer) -> None:
    """End a container for its memory."""
    world.lose(container, "too much", over_limit=True)


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
        container.done = world.ledger.containers[container.name].done = 1
        exceed(world, container)
    assert world.outcomes["call", 0] == ("lost", ("too much",) * MAX_LIMIT_LOSSES)


def test_inputs_that_shared_a_container_are_not_told_apart() -> None:
    world = World()
    world.define(max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("call", 2)
    exceed(world, container)
    assert not world.outcomes
    assert [len(item.losses) for item in world.ledger.calls["call"].front] == [1, 1]
