"""Containers that do not get ready: in time, or at all."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import MAX_BOOT_FAILURES
from tests.core.world import World, settings

LIMIT = 5.0


@pytest.fixture
def world() -> World:
    world = World()
    world.define(startup_timeout=LIMIT)
    return world


def test_container_that_is_not_ready_in_time_is_ended_and_counts_as_failed(world: World) -> None:
    container = world.expect()
    world.advance(LIMIT - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    pool = world.ledger.pools["a/f"]
    assert container.is_killed
    assert (pool.boot_failures, pool.boot_failed_at) == (1, LIMIT)
    world.lose(container, "signal 9")
    assert pool.boot_failures == 1, "its end is no second failure"


def test_callers_are_told_how_long_containers_had(world: World) -> None:
    world.put("one")
    for _ in range(MAX_BOOT_FAILURES):
        world.expect(name=f"c{world.now:g}")
        world.advance(LIMIT)
    status, stories = world.outcomes["one", 0]
    assert status == "lost"
    assert stories == tuple(
        f"container c{n}: it was not ready within 5 s (startup_timeout)" for n in (0, 5, 10)
    )


def test_container_that_gets_ready_too_late_takes_nothing(world: World) -> None:
    container = world.expect()
    world.advance(LIMIT)
    world.put("one")
    world.ready(container)
    assert container.jobs == []


def test_ready_container_has_no_limit(world: World) -> None:
    container = world.ready()
    assert world.ledger.wake_at(world.now) is None
    world.advance(10 * LIMIT)
    assert not container.is_killed


def test_container_that_is_drained_or_lost_while_it_starts_is_not_ended_once_more(
    world: World,
) -> None:
    drained, lost = world.expect(), world.expect()
    world.drain(drained)
    world.lose(lost)
    world.advance(LIMIT)
    assert not drained.is_killed
    assert world.ledger.wake_at(world.now) is None


def test_limit_is_that_of_an_input_unless_it_is_given(world: World) -> None:
    world.define(timeout=70.0)
    container = world.expect()
    world.advance(69.9)
    assert not container.is_killed
    world.advance(0.2)
    assert container.is_killed


@pytest.mark.parametrize(("limit", "ends_at"), [(3.0, 4.0), (4.5, 4.5), (9.0, 9.0)])
def test_new_limit_holds_for_containers_that_start(
    world: World, limit: float, ends_at: float
) -> None:
    container = world.expect()
    world.advance(4.0)
    world.define(startup_timeout=limit)
    world.advance(ends_at - 4.0)
    assert container.is_killed
    assert world.ledger.pools["a/f"].boot_failed_at == ends_at


# -- what callers are told -----------------------------------------------------------------------


def test_callers_get_the_exception_with_which_starts_failed(world: World) -> None:
    world.put("one")
    for _ in range(MAX_BOOT_FAILURES):
        world.lose(world.expect(), "it could not start", failure=b"ImportError")
    assert world.outcomes["one", 0] == ("error", b"ImportError")


def test_functions_with_retries_do_not_try_again_what_never_ran(world: World) -> None:
    world.put("one")
    for _ in range(MAX_BOOT_FAILURES):
        world.lose(world.expect(), failure=b"ImportError")
    assert world.ledger.pools["a/f"].retrying == 0
    assert world.ended == ["one"]


def test_inputs_of_a_deployed_function_wait_for_as_long_as_it_takes(world: World) -> None:
    world.define(startup_timeout=LIMIT, deployed=True)
    world.put("one")
    for _ in range(2 * MAX_BOOT_FAILURES):
        world.lose(world.expect(), failure=b"ImportError")
    world.expect()
    world.advance(LIMIT)
    assert world.statuses("one") == []
    assert world.ledger.pools["a/f"].boot_failures == 2 * MAX_BOOT_FAILURES + 1
    container = world.ready()
    world.finish(container)
    assert world.statuses("one") == ["ok"]


def test_function_that_is_deployed_later_keeps_what_waits_then(world: World) -> None:
    world.put("one")
    for _ in range(MAX_BOOT_FAILURES - 1):
        world.lose(world.expect())
    world.define(startup_timeout=LIMIT, deployed=True, autoscaler=settings(least=1))
    world.lose(world.expect())
    assert world.statuses("one") == []
    world.define(startup_timeout=LIMIT)
    world.lose(world.expect())
    assert world.statuses("one") == ["lost"]


def test_container_of_a_removed_pool_that_never_gets_ready_is_ended(world: World) -> None:
    container = world.expect()
    world.handle(ev.PoolRemoved(pool_id="a/f"))
    world.advance(LIMIT)
    assert container.is_killed
    world.lose(container)
    assert world.gone_pools == ["a/f"]
