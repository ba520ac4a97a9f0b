"""The life of containers: leases, losses, recalls, drains and kills."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import (
    CANCEL_GRACE,
    MAX_BOOT_FAILURES,
    MAX_LOSSES,
    PATIENCE_MEANS,
    PATIENCE_SECONDS,
)
from modalnb.core.ledger import Ledger
from modalnb.core.placement import MAX_PREFETCH
from modalnb.settings import FunctionSettings, Limits
from tests.core.world import FakeContainer, World

SHORT = 0.005  # two inputs of this length are held ahead


@pytest.fixture
def world() -> World:
    world = World()
    world.define()
    return world


def warm(world: World, seconds: float = SHORT, pool_id: str = "a/f") -> FakeContainer:
    """A container that has answered once, so that the length of inputs is known."""
    container = world.ready(pool_id=pool_id)
    world.put(f"warm-{container.name}", pool_id=pool_id)
    world.finish(container, seconds=seconds)
    return container


def indices(container: FakeContainer) -> list[int]:
    return [index for _, _, index in container.jobs]


def runs(instructions: list[ev.Instruction]) -> list[str]:
    return [i.container_id for i in instructions if isinstance(i, ev.RunInputs)]


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


def calls_made(work: Callable[[], object]) -> int:
    """How many functions, also built-in ones, `work` calls: its cost without a clock."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def cost_with_queue(calls: int, inputs: int) -> dict[str, int]:
    """What each kind of event costs while so many calls of so many inputs wait."""
    ledger = Ledger(Limits(pending=10**6, total=10**6))
    ledger.handle(ev.PoolDefined(pool_id="a/f", settings=FunctionSettings()), 0.0)
    for n in range(4):
        ledger.handle(ev.ContainerReady(container_id=f"c{n}", pool_id="a/f"), 0.0)

    def put(call_id: str) -> ev.Event:
        return ev.InputsPut(
            caller=call_id,
            call_id=call_id,
            pool_id="a/f",
            code="code",
            start=0,
            payloads=[b"x"] * inputs,
        )

    def output(name: str) -> ev.Event:
        lease = next(iter(ledger.containers[name].leases))
        return ev.OutputsReturned(container_id=name, outputs=[(lease, "ok", b"", 1.0)])

    for n in range(calls):
        ledger.handle(put(f"call-{n}"), 0.0)
    events = {
        "output": output("c1"),
        "put": put("last"),
        "cancel": ev.CallCancelled(call_id=f"call-{calls - 1}"),
        "caller gone": ev.CallerGone(caller=f"call-{calls - 2}"),
        "lost": ev.ContainerLost(container_id="c2", story="signal 9"),
        "ready": ev.ContainerReady(container_id="new", pool_id="a/f"),
        "drain": ev.DrainAsked(container_ids=("c3",)),
        "tick": ev.Tick(),
    }
    return {
        name: calls_made(functools.partial(ledger.handle, event, 0.0))
        for name, event in events.items()
    }


def test_every_event_costs_the_same_whatever_is_queued() -> None:
    few = cost_with_queue(10, 5)
    many_calls = cost_with_queue(20_000, 5)
    many_inputs = cost_with_queue(10, 10_000)
    # A put costs by what it puts, and a cancelled call by what it has waiting.
    del many_inputs["put"], many_inputs["cancel"], many_inputs["caller gone"]
    for many in (many_calls, many_inputs):
        assert {name: abs(cost - few[name]) > 5 for name, cost in many.items()} == dict.fromkeys(
            many, False
        )


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
    world.containers["new"] = FakeContainer("new", "a/f", 1, is_ready=True)
    assert runs(world.handle(ev.ContainerReady(container_id="new", pool_id="a/f"))) == ["new"]


def test_container_stays_with_the_pool_that_expected_it_first(world: World) -> None:
    world.define("a/g")
    container = world.ready()
    world.put("one")
    world.handle(ev.ContainerExpected(container_id=container.name, pool_id="a/g"))
    world.handle(ev.ContainerReady(container_id=container.name, pool_id="a/g"))
    assert world.ledger.containers[container.name].pool.id == "a/f"
    assert list(world.ledger.containers[container.name].leases) == [1]


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
    assert not world.ledger.wants_ticks
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
    assert world.ledger.wants_ticks
    world.now = CANCEL_GRACE - 0.1
    assert world.handle(ev.Tick()) == []
    world.now = CANCEL_GRACE
    assert world.handle(ev.Tick()) == [
        ev.KillContainer(container_id=container.name, pool_id="a/f"),
        ev.PoolChanged(pool_id="a/f"),
    ]
    assert not world.ledger.wants_ticks
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


def test_killed_container_that_ends_by_itself_is_not_retired_as_well(world: World) -> None:
    world.define(max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("stuck")
    world.put("other")
    world.handle(ev.CallCancelled(call_id="stuck"))
    world.now = CANCEL_GRACE
    world.handle(ev.Tick())
    world.handle(ev.CallCancelled(call_id="other"))
    world.finish(container, 2, status="cancelled")
    assert not container.is_retired


def test_cancelled_input_that_lets_go_in_time_costs_nobody_a_container(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.handle(ev.CallCancelled(call_id="one"))
    world.finish(container, status="cancelled")
    assert not world.ledger.wants_ticks


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
