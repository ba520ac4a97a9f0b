"""Functions whose containers are used once."""

from __future__ import annotations

import pytest

from modalnb.core.placement import MAX_PREFETCH
from modalnb.settings import Retries
from tests.core.scenario import Scenario
from tests.core.world import World, batches, indices, settings, warm


@pytest.fixture
def world() -> World:
    world = World()
    world.define(single_use=True)
    return world


def test_container_takes_one_input_and_leaves_after_it(world: World) -> None:
    first, second = world.ready(), world.ready()
    world.woken.clear()
    world.put("map", 3)
    assert (indices(first), indices(second)) == ([1], [0])
    assert world.woken == {"a/f"}, "others are needed"
    world.finish(first)
    assert first.is_retired
    assert len(world.deliveries) == 2


def test_short_inputs_and_several_slots_make_no_difference(world: World) -> None:
    world.define(single_use=True, max_inputs=4, target_inputs=4)
    warm(world, seconds=0.0)
    container = world.ready()
    world.put("map", MAX_PREFETCH)
    assert indices(container) == [0]


def test_batch_is_one_use(world: World) -> None:
    world.define(single_use=True, batch=batches(4, 0))
    container = world.ready()
    world.put("map", 6)
    assert indices(container) == [0, 1, 2, 3]
    world.finish(container)
    assert container.is_retired
    assert indices(world.ready()) == [4, 5]


def test_each_attempt_has_a_container_of_its_own(world: World) -> None:
    world.define(single_use=True, retries=Retries(max_retries=1))
    first = world.ready()
    world.put("one")
    world.finish(first, status="error")
    assert first.is_retired
    world.advance(1.0)
    second = world.ready()
    world.finish(second)
    assert (world.statuses("one"), second.is_retired) == (["ok"], True)


def test_cancelled_input_leaves_with_its_container(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.cancel("one")
    world.finish(container, status="cancelled")
    assert container.is_retired


def test_lost_container_is_charged_as_ever(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.lose(container, "signal 11")
    assert world.ledger.calls["one"].front[0].losses == ("signal 11",)


def test_containers_that_were_used_leave_when_the_setting_comes(world: World) -> None:
    world.define()
    used, busy, fresh = warm(world), world.ready(), world.ready()
    world.put("one")
    assert indices(fresh) == [0], "the latest of equals"
    world.finish(fresh)
    world.put("two")
    world.define(single_use=True)
    assert (used.is_retired, fresh.is_draining, fresh.is_retired) == (True, True, False)
    assert not busy.is_draining
    world.define()
    world.finish(fresh)
    assert fresh.is_retired


def test_pool_grows_to_one_container_for_each_input() -> None:
    scenario = Scenario(settings(window=10), service=2.0, boot=0.5, single_use=True, max_inputs=3)
    scenario.at(0.0, lambda: scenario.put(3))
    scenario.at(5.25, lambda: scenario.put(1))
    assert scenario.sizes(0.1, 1.0, 5.3, 9.0) == [3, 0, 1, 0]
    assert len(scenario.started_at) == 4
    assert scenario.world.statuses("call-1") == ["ok"] * 3


def test_used_containers_count_against_the_maximum_until_they_are_gone() -> None:
    scenario = Scenario(settings(most=2), service=1.0, boot=0.5, single_use=True)
    scenario.at(0.0, lambda: scenario.put(6))
    scenario.sizes(20.0)
    assert scenario.started_at == pytest.approx([0.0, 0.0, 1.5, 1.5, 3.0, 3.0])
    assert scenario.world.statuses("call-1") == ["ok"] * 6


def test_minimum_keeps_fresh_ones_ready() -> None:
    scenario = Scenario(settings(least=1, window=1), service=1.0, boot=0.5, single_use=True)
    scenario.at(1.25, scenario.put)
    assert scenario.sizes(1.0, 1.3, 5.0) == [1, 1, 1]
    assert len(scenario.started_at) == 2
