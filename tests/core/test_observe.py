from __future__ import annotations

from modalnb.core.capacity import Capacity, Need
from modalnb.core.observe import (
    Grant,
    blocked,
    container_stats,
    gauges,
    grants,
    pending,
    running,
    usual_wait,
    waiting_inputs,
)
from modalnb.core.pools import RECENT_WAITS, Pool
from modalnb.settings import Limits, Retries
from tests.core.world import World, batches, settings

NEEDS = {"a/f": Need(cpu=1.0), "a/g": Need(cpu=1.0)}


def pools_of(world: World) -> list[Pool]:
    return list(world.ledger.pools.values())


def test_container_stats_follow_a_container_through_its_life() -> None:
    world = World()
    world.define()
    container = world.expect()
    known = world.ledger.containers[container.name]
    assert container_stats(known).state == "booting"
    world.now = 2.0
    world.ready(container)
    facts = container_stats(known)
    assert (facts.state, facts.started_at, facts.ready_at, facts.idle_since) == ("idle", 0, 2, 2)
    world.put("one")
    assert (container_stats(known).state, container_stats(known).running) == ("busy", 1)
    world.drain(container)
    assert container_stats(known).state == "draining"
    world.now = 3.0
    world.finish(container)
    assert (container_stats(known).inputs_done, container_stats(known).idle_since) == (1, 3)


def test_pending_and_running_count_each_input_once() -> None:
    world = World()
    world.define()
    world.put("warm")
    container = world.ready()
    world.finish(container, seconds=0.015)
    world.put("many", 10)
    pool = world.ledger.pools["a/f"]
    facts = container_stats(world.ledger.containers[container.name])
    assert (facts.running, facts.prefetched) == (1, 2)
    assert (pending(pool), running(pool), pool.waiting) == (9, 1, 7)


def test_inputs_of_a_batch_run_and_those_that_wait_for_theirs_are_pending() -> None:
    world = World()
    world.define(batch=batches(4, 100))
    container = world.ready()
    world.put("map", 6)
    pool = world.ledger.pools["a/f"]
    assert (pending(pool), running(pool)) == (2, 4)
    assert container_stats(world.ledger.containers[container.name]).running == 4


def test_inputs_that_wait_for_a_retry_are_neither_pending_nor_running() -> None:
    world = World()
    world.define(retries=Retries(max_retries=1))
    world.put("one")
    world.finish(world.ready(), status="error")
    pool = world.ledger.pools["a/f"]
    assert (pending(pool), running(pool), pool.retrying) == (0, 0, 1)


def test_container_is_blocked_when_all_that_it_executes_waits_for_calls() -> None:
    world = World()
    world.define("a/f", max_inputs=2, target_inputs=2)
    world.define("a/g")
    world.ready()
    world.ready()
    world.put("outer", 3)
    pool = world.ledger.pools["a/f"]

    def blocked_now() -> int:
        return blocked(pool, waiting_inputs(world.ledger.book.awaited.values()))

    assert blocked_now() == 0
    world.put("first", pool_id="a/g", parent=("outer", 0))
    assert blocked_now() == 0, "the other input of its container works"
    world.put("third", pool_id="a/g", parent=("outer", 2))
    assert blocked_now() == 1
    world.put("second", pool_id="a/g", parent=("outer", 1))
    assert blocked_now() == 2
    world.cancel("second")
    assert blocked_now() == 1


def test_usual_wait_is_that_of_recent_inputs() -> None:
    world = World()
    world.define()
    pool = world.ledger.pools["a/f"]
    assert usual_wait(pool, 0.5) is None
    container = world.ready()
    world.put("map", 21)
    for _ in range(20):
        world.advance(1.0)
        world.finish(container)
    # They waited for 0, 1, … 20 seconds.
    assert [usual_wait(pool, part) for part in (0.0, 0.5, 0.95, 1.0)] == [0.0, 10.0, 19.0, 20.0]
    world.put("more", RECENT_WAITS + 1)
    world.finish(container)
    for _ in range(RECENT_WAITS):
        world.finish(container)
    assert usual_wait(pool, 1.0) == 0.0


def test_grants_count_containers_by_what_they_carry() -> None:
    """Shares follow the containers that a pool asks for, not its inputs."""
    world = World()
    world.define("a/f", batch=batches(8, 0))
    world.define("a/g", single_use=True, max_inputs=8, target_inputs=8)
    world.put("f", 16, pool_id="a/f")
    world.put("g", 16, pool_id="a/g")
    granted = grants(pools_of(world), NEEDS, Capacity(cores=100.0))
    assert {name: grant.share for name, grant in granted.items()} == {"a/f": 2, "a/g": 16}


def test_gauges_count_what_waits_and_what_is_taken_in() -> None:
    world = World()
    world.define()
    world.ready()
    world.put("live", 3)
    world.put("kept", 2, kind="durable")
    found = gauges(world.ledger.pools["a/f"], Limits(pending=10, total=20, pending_spawns=30))
    assert [(gauge.current, gauge.maximum) for gauge in found] == [(2, 10), (3, 20), (2, 30)]


def test_grants_without_limits_leave_everything_open() -> None:
    world = World()
    world.define()
    world.put("many", 5)
    assert grants(pools_of(world), {"a/f": Need()}, Capacity()) == {
        "a/f": Grant(share=None, room=None, contended=False)
    }


def test_grants_share_cores_by_demand_up_to_the_maximum() -> None:
    world = World()
    world.define("a/f", autoscaler=settings(most=1))
    world.define("a/g")
    world.put("f", 9, pool_id="a/f")
    world.put("g", 9, pool_id="a/g")
    granted = grants(pools_of(world), NEEDS, Capacity(cores=4.0))
    assert {name: grant.share for name, grant in granted.items()} == {"a/f": 1, "a/g": 3}


def test_grants_tell_a_pool_that_another_one_starves() -> None:
    world = World()
    world.define("a/f")
    world.define("a/g")
    first, second = world.ready(pool_id="a/f"), world.ready(pool_id="a/f")
    assert not grants(pools_of(world), NEEDS, Capacity(cores=2.0, containers=2))["a/f"].contended
    world.put("g", 1, pool_id="a/g")
    granted = grants(pools_of(world), NEEDS, Capacity(cores=2.0, containers=2))
    assert granted["a/f"] == Grant(share=0, room=2, contended=True)
    assert granted["a/g"] == Grant(share=1, room=0, contended=False)
    assert not grants(pools_of(world), NEEDS, Capacity(cores=2.0, containers=3))["a/f"].contended
    for container in (first, second):
        world.lose(container)
    assert grants(pools_of(world), NEEDS, Capacity(cores=2.0, containers=2))["a/g"].room == 2


def test_memory_that_pools_ask_for_bounds_their_containers_together() -> None:
    world = World()
    world.define("a/f")
    world.define("a/g")
    world.ready(pool_id="a/f")
    needs = {"a/f": Need(cpu=0.1, memory=600), "a/g": Need(cpu=0.1, memory=300)}
    world.put("f", 9, pool_id="a/f")
    world.put("g", 9, pool_id="a/g")
    granted = grants(pools_of(world), needs, Capacity(cores=8.0, containers=50, memory=2_000))
    assert granted["a/f"] == Grant(
        share=2, room=3, contended=False, room_words="the memory there is"
    )
    assert granted["a/g"] == Grant(
        share=2, room=4, contended=False, room_words="the memory there is"
    )


def test_memory_bounds_nothing_where_it_is_not_known() -> None:
    world = World()
    world.define()
    assert grants(pools_of(world), {"a/f": Need(memory=600)}, Capacity())["a/f"].room is None


def test_devices_bound_a_pool_and_leave_its_share_to_others() -> None:
    world = World()
    world.define("a/f")
    world.define("a/g")
    world.put("f", 9, pool_id="a/f")
    world.put("g", 9, pool_id="a/g")
    needs = {"a/f": Need(cpu=1.0, devices=1, words="1 free T4"), "a/g": Need(cpu=1.0)}
    granted = grants(pools_of(world), needs, Capacity(cores=4.0, containers=50))
    assert granted["a/f"] == Grant(share=1, room=1, contended=False, room_words="1 free T4")
    assert granted["a/g"] == Grant(share=3, room=50, contended=False)


def test_pool_that_holds_the_devices_another_one_lacks_yields_one_container() -> None:
    world = World()
    for name in ("a/f", "a/g", "a/h"):
        world.define(name)
    world.ready(pool_id="a/f"), world.ready(pool_id="a/f"), world.ready(pool_id="a/h")
    world.put("f", 9, pool_id="a/f")
    world.put("g", 1, pool_id="a/g")
    rivals = frozenset({"a/f"})
    needs = {
        "a/f": Need(devices=0, rivals=rivals),
        "a/g": Need(devices=0, rivals=rivals),
        "a/h": Need(),
    }
    granted = grants(pools_of(world), needs, Capacity(containers=50))
    assert granted["a/f"] == Grant(share=1, room=2, contended=True)
    assert granted["a/g"] == Grant(share=None, room=0, contended=False)
    assert not granted["a/h"].contended


def test_pool_with_one_device_keeps_it_while_it_has_inputs() -> None:
    world = World()
    world.define("a/f")
    world.define("a/g")
    world.ready(pool_id="a/f")
    world.put("f", 9, pool_id="a/f")
    world.put("g", 1, pool_id="a/g")
    needs = dict.fromkeys(("a/f", "a/g"), Need(devices=0, rivals=frozenset({"a/f"})))
    granted = grants(pools_of(world), needs, Capacity(cores=8.0))
    assert granted["a/f"] == Grant(share=1, room=1, contended=True)
    assert granted["a/g"].room == 0
