from __future__ import annotations

from modalnb.core.observe import Grant, container_stats, grants, pending, running
from modalnb.core.records import Pool
from tests.core.world import World, settings


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


def test_grants_without_limits_leave_everything_open() -> None:
    world = World()
    world.define()
    world.put("many", 5)
    assert grants(pools_of(world), {"a/f": 1.0}, None, None) == {
        "a/f": Grant(share=None, room=None, contended=False)
    }


def test_grants_share_cores_by_demand_up_to_the_maximum() -> None:
    world = World()
    world.define("a/f", autoscaler=settings(most=1))
    world.define("a/g")
    world.put("f", 9, pool_id="a/f")
    world.put("g", 9, pool_id="a/g")
    granted = grants(pools_of(world), {"a/f": 1.0, "a/g": 1.0}, 4.0, None)
    assert {name: grant.share for name, grant in granted.items()} == {"a/f": 1, "a/g": 3}


def test_grants_tell_a_pool_that_another_one_starves() -> None:
    world = World()
    world.define("a/f")
    world.define("a/g")
    first, second = world.ready(pool_id="a/f"), world.ready(pool_id="a/f")
    cpu = {"a/f": 1.0, "a/g": 1.0}
    assert not grants(pools_of(world), cpu, 2.0, 2)["a/f"].contended
    world.put("g", 1, pool_id="a/g")
    granted = grants(pools_of(world), cpu, 2.0, 2)
    assert granted["a/f"] == Grant(share=0, room=2, contended=True)
    assert granted["a/g"] == Grant(share=1, room=0, contended=False)
    assert not grants(pools_of(world), cpu, 2.0, 3)["a/f"].contended
    for container in (first, second):
        world.lose(container)
    assert grants(pools_of(world), cpu, 2.0, 2)["a/g"].room == 2
