"""Containers that die or fail to start: who is blamed, who goes on, who is told."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import MAX_BOOT_FAILURES, MAX_LOSSES
from tests.core.containers import FakeContainer
from tests.core.world import SHORT, World, indices, warm


@pytest.fixture
def world() -> World:
    world = World()
    world.define()
    return world


def runs(instructions: list[ev.Instruction]) -> list[str]:
    return [i.container_id for i in instructions if isinstance(i, ev.RunInputs)]


# -- losses ------------------------------------------------------------------------------------


def test_only_the_executing_input_of_a_lost_container_is_charged(world: World) -> None:
    container = warm(world)
    world.put("map", 3)
    assert indices(container) == [0, 1, 2]
    world.lose(container, "signal 9")
    waiting = world.ledger.calls["map"].front
    assert [(item.index, item.losses) for item in reversed(waiting)] == [
        (0, ("signal 9",)),
        (1, ()),
        (2, ()),
    ]


def test_lost_inputs_come_before_the_others_of_their_call(world: World) -> None:
    container = world.ready()
    world.put("map", 3)
    world.lose(container)
    container = world.ready()
    assert indices(container) == [0]
    world.finish(container)
    assert indices(container) == [1]


def test_nothing_is_held_behind_a_suspect(world: World) -> None:
    container = warm(world)
    world.put("map", 9)
    world.lose(container)
    container = world.ready()
    for index in range(3):
        assert indices(container) == [index], "it was in the lost container"
        world.finish(container, seconds=SHORT)
    assert len(container.jobs) == 3


def test_nothing_is_held_behind_a_suspect_that_came_first(world: World) -> None:
    world.define(max_inputs=2, target_inputs=2)
    container = warm(world)
    world.put("bad", 1)
    world.lose(container)
    container = world.ready()
    world.put("good", 9)
    assert len(container.jobs) == 2
    world.finish(container, position=1, seconds=SHORT)
    assert len(container.jobs) == 2
    world.finish(container, position=0, seconds=SHORT)
    assert len(container.jobs) > 2


def test_input_that_kills_every_container_is_given_up_and_takes_nobody_along(
    world: World,
) -> None:
    world.define(max_inputs=10, target_inputs=10)
    world.put("map", 50)
    lost = 0
    while world.ledger.calls:
        for container in list(world.containers.values()) or [world.ready()]:
            if 7 in indices(container):
                world.lose(container, f"signal 11 in {container.name}")
                lost += 1
            elif container.jobs:
                world.finish(container)
    assert lost == MAX_LOSSES
    assert world.statuses("map") == ["ok"] * 7 + ["lost"] + ["ok"] * 42
    stories = world.outcomes["map", 7][1]
    assert len(stories) == MAX_LOSSES
    assert stories[0] == "signal 11 in a/f.1"


def test_input_that_runs_alone_waits_for_an_empty_container(world: World) -> None:
    world.define(max_inputs=2, target_inputs=2)
    world.put("bad")
    for _ in range(2):
        world.lose(world.ready())
    world.put("good", 3)
    first = world.ready()
    assert [job[1] for job in first.jobs] == ["bad"]
    second = world.ready()
    assert [job[1] for job in second.jobs] == ["good", "good"]
    world.finish(first)
    assert [job[1] for job in first.jobs] == ["good"]


@pytest.mark.parametrize(
    "end", [ev.CallCancelled(call_id="bad"), ev.CallerGone(caller="bob")], ids=["cancel", "gone"]
)
def test_input_that_waits_to_run_alone_holds_up_nobody_when_it_is_cancelled(
    world: World, end: ev.Event
) -> None:
    world.define(max_inputs=2, target_inputs=2)
    world.put("bad", caller="bob")
    for _ in range(2):
        world.lose(world.ready())
    alone = world.ready()
    busy = world.ready()
    world.put("slow")
    world.lose(alone)
    world.put("good")
    assert [job[1] for job in busy.jobs] == ["slow"]
    world.handle(end)
    assert [job[1] for job in busy.jobs] == ["slow", "good"]


def test_lost_container_that_nobody_knows_changes_nothing(world: World) -> None:
    assert world.ledger.handle(ev.ContainerLost(container_id="gone", story=""), 0.0) == []


# -- starting ----------------------------------------------------------------------------------


def test_callers_are_told_after_repeated_failed_starts(world: World) -> None:
    world.put("one")
    world.put("two")
    for n in range(MAX_BOOT_FAILURES):
        world.lose(world.expect(), f"exit code {n}")
    stories = ("exit code 0", "exit code 1", "exit code 2")
    assert world.outcomes == {("one", 0): ("lost", stories), ("two", 0): ("lost", stories)}
    assert world.ended == ["one", "two"]


def test_failed_starts_are_no_news_while_another_container_works(world: World) -> None:
    container = world.ready()
    world.put("two", 2)
    for _ in range(MAX_BOOT_FAILURES):
        world.lose(world.expect())
    assert world.statuses("two") == []
    world.drain(container)
    world.lose(world.expect())
    assert world.statuses("two") == ["lost"], "a draining one takes nothing"
    world.finish(container)
    assert world.statuses("two") == ["ok", "lost"]


def test_ready_container_ends_a_row_of_failed_starts(world: World) -> None:
    for _ in range(MAX_BOOT_FAILURES - 1):
        world.lose(world.expect())
    pool = world.ledger.pools["a/f"]
    assert pool.boot_failures == 2
    world.now = 5.0
    container = world.expect()
    world.now = 7.0
    world.ready(container)
    assert (pool.boot_failures, pool.mean_boot) == (0, 2.0)


def test_container_drained_while_it_starts_leaves_without_being_a_failure(world: World) -> None:
    container = world.expect()
    world.drain(container)
    assert container.is_retired
    world.ready(container)
    world.lose(container)
    assert world.ledger.pools["a/f"].boot_failures == 0


def test_container_of_a_pool_that_is_gone_is_ended(world: World) -> None:
    gone = {"container_id": "late", "pool_id": "a/gone"}
    retire = [ev.RetireContainer(**gone)]
    assert world.ledger.handle(ev.ContainerExpected(**gone), 0.0) == retire
    assert world.ledger.handle(ev.ContainerReady(**gone), 0.0) == retire


def test_container_that_nobody_expected_gets_to_work(world: World) -> None:
    world.put("one")
    world.containers["new"] = FakeContainer("new", "a/f")
    assert runs(world.handle(ev.ContainerReady(container_id="new", pool_id="a/f"))) == ["new"]


def test_container_stays_with_the_pool_that_expected_it_first(world: World) -> None:
    world.define("a/g")
    container = world.ready()
    world.put("one")
    world.handle(ev.ContainerExpected(container_id=container.name, pool_id="a/g"))
    world.handle(ev.ContainerReady(container_id=container.name, pool_id="a/g"))
    assert world.ledger.containers[container.name].pool.id == "a/f"
    assert list(world.ledger.containers[container.name].leases) == [1]
