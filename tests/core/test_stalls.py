"""Functions that wait for themselves: found after two looks, and never before."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from tests.core.containers import FakeContainer, Key
from tests.core.world import SHORT, World, settings

ONE = settings(most=1)


@pytest.fixture
def world() -> World:
    world = World()
    world.define("a/f", autoscaler=ONE)
    world.define("a/g", autoscaler=ONE)
    return world


def look(world: World, *full: str) -> list[Key]:
    """The inputs that a look at the full pools makes fail."""
    before = set(world.outcomes)
    world.handle(ev.StallChecked(full=frozenset(full)))
    return sorted(set(world.outcomes) - before)


def nest(world: World, call_id: str, parent: Key, pool_id: str = "a/f", count: int = 1) -> None:
    world.put(call_id, count, caller="container", parent=parent, pool_id=pool_id)


def recursive(world: World, pool_id: str = "a/f") -> FakeContainer:
    """A function whose only slot is taken by an input that calls it once more."""
    container = world.ready(pool_id=pool_id)
    world.put("outer", pool_id=pool_id)
    nest(world, "inner", ("outer", 0), pool_id)
    return container


def test_function_that_waits_for_itself_is_found_at_the_second_look(world: World) -> None:
    container = recursive(world)
    assert look(world, "a/f") == []
    assert look(world, "a/f") == [("inner", 0)]
    assert world.statuses("inner") == ["stalled"]
    world.finish(container, status="error")
    assert world.ended == ["inner", "outer"]


def test_pool_that_can_grow_is_not_stalled(world: World) -> None:
    recursive(world)
    for _ in range(3):
        assert look(world, "a/g") == []


def test_progress_between_two_looks_is_no_stall(world: World) -> None:
    world.define("a/f", autoscaler=ONE, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("outer")
    world.put("other")
    nest(world, "inner", ("outer", 0))
    nest(world, "more", ("other", 0))
    assert look(world, "a/f") == []
    world.finish(container, position=1, status="error")
    nest(world, "deeper", ("inner", 0))
    assert look(world, "a/f") == [], "one has ended since, and again all slots are taken"
    assert look(world, "a/f") == [("deeper", 0)]


def test_input_that_executes_on_its_own_will_free_its_slot(world: World) -> None:
    world.define("a/f", autoscaler=ONE, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("outer")
    world.put("other")
    nest(world, "inner", ("outer", 0))
    for _ in range(3):
        assert look(world, "a/f") == []
    world.finish(container, position=1)
    assert [job[1] for job in container.jobs] == ["outer", "inner"]


def test_function_that_waits_for_itself_through_another_one(world: World) -> None:
    world.ready(pool_id="a/f")
    world.ready(pool_id="a/g")
    world.put("f", pool_id="a/f")
    nest(world, "g", ("f", 0), "a/g")
    nest(world, "f again", ("g", 0), "a/f")
    assert look(world, "a/f", "a/g") == []
    assert look(world, "a/f", "a/g") == [("f again", 0)]


def test_two_functions_that_wait_for_each_other(world: World) -> None:
    world.ready(pool_id="a/f")
    world.ready(pool_id="a/g")
    world.put("f", pool_id="a/f")
    world.put("g", pool_id="a/g")
    nest(world, "f calls g", ("f", 0), "a/g")
    nest(world, "g calls f", ("g", 0), "a/f")
    assert look(world, "a/f", "a/g") == []
    assert len(look(world, "a/f", "a/g")) == 1, "one is enough to let the other go on"
    assert look(world, "a/f", "a/g") == []


def test_other_one_that_can_grow_unties_both(world: World) -> None:
    world.ready(pool_id="a/f")
    world.ready(pool_id="a/g")
    world.put("f", pool_id="a/f")
    world.put("g", pool_id="a/g")
    nest(world, "f calls g", ("f", 0), "a/g")
    nest(world, "g calls f", ("g", 0), "a/f")
    for _ in range(3):
        assert look(world, "a/f") == [], "g gets a container, and then f has a slot"


def test_map_of_which_one_input_waits_for_ever_holds_its_caller(world: World) -> None:
    world.define("a/g", autoscaler=settings(most=2))
    container = world.ready(pool_id="a/f")
    world.put("f", pool_id="a/f")
    for _ in range(2):
        world.ready(pool_id="a/g")
    nest(world, "map", ("f", 0), "a/g", count=2)
    nest(world, "f again", ("map", 1), "a/f")
    assert look(world, "a/f") == []
    assert look(world, "a/f") == [("f again", 0)]
    assert container.jobs


def test_spawned_calls_are_not_waited_for(world: World) -> None:
    world.ready()
    world.put("outer")
    world.put("inner", kind="durable", parent=("outer", 0))
    for _ in range(3):
        assert look(world, "a/f") == []


def test_recursion_of_any_depth_is_found_and_its_youngest_input_fails(world: World) -> None:
    depth = 2000
    world.define("a/f", autoscaler=ONE, max_inputs=depth, target_inputs=depth)
    ledger = world.ledger
    world.ready()
    world.put("call-0")
    for n in range(depth):
        put = ev.InputsPut(
            caller="container",
            call_id=f"call-{n + 1}",
            pool_id="a/f",
            code="code",
            start=0,
            payloads=[b"x"],
            parent=(f"call-{n}", 0),
        )
        ledger.handle(put, 0.0)
    check = ev.StallChecked(full=frozenset({"a/f"}))
    assert ledger.handle(check, 0.0) == []
    delivered = ledger.handle(check, 1.0)[0]
    assert delivered == ev.DeliverOutputs(
        caller="container", outputs=((f"call-{depth}", 0, "stalled", None),)
    )


def test_youngest_input_is_the_last_of_the_last_call(world: World) -> None:
    world.ready()
    world.put("outer")
    nest(world, "first", ("outer", 0), count=2)
    nest(world, "last", ("outer", 0), count=3)
    look(world, "a/f")
    assert look(world, "a/f") == [("last", 2)]


def test_youngest_input_is_found_among_those_that_came_back(world: World) -> None:
    container = world.ready()
    world.put("warm")
    world.finish(container, seconds=SHORT)
    world.put("outer")
    nest(world, "inner", ("outer", 0), count=2)
    assert [job[1:] for job in container.jobs] == [("outer", 0), ("inner", 0), ("inner", 1)]
    world.advance(1.0)
    assert look(world, "a/f") == []
    assert look(world, "a/f") == [], "what is held ahead has not been given back yet"
    world.read_orders(container)
    assert look(world, "a/f") == []
    assert look(world, "a/f") == [("inner", 1)]


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_slot_that_will_be_free_soon_is_worth_waiting_for(world: World, end: str) -> None:
    world.define("a/f", autoscaler=ONE, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("outer")
    world.put("other")
    nest(world, "inner", ("outer", 0))
    if end == "cancelled":
        world.cancel("other")
    else:
        nest(world, "more", ("other", 0))
        world.stuck(container)
    for _ in range(3):
        assert look(world, "a/f") == []


def test_input_that_cannot_run_alone_because_of_its_own_caller_lets_others_go_on(
    world: World,
) -> None:
    """It waits for an empty container, and others wait behind it though a slot is free."""
    world.define("a/f", autoscaler=ONE, max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("bad", caller="container", parent=("outer", 0))
    for _ in range(2):
        world.lose(container)
        container = world.ready()
    world.lose(container)
    world.put("outer")
    world.ledger.pools["a/f"].ready.move_to_end(world.ledger.calls["bad"])
    container = world.ready()
    world.put("next")
    assert [job[1] for job in container.jobs] == ["outer"]
    look(world, "a/f")
    assert look(world, "a/f") == [("bad", 0)]
    assert [job[1] for job in container.jobs] == ["outer", "next"]


# -- clusters without room -------------------------------------------------------------------------


def test_pool_without_room_waits_for_others_to_leave(world: World) -> None:
    """The cluster is full of containers of another function, which end what they do and yield."""
    world.define("a/g", autoscaler=settings())
    world.define("a/h", autoscaler=settings())
    world.ready(pool_id="a/f")
    world.put("outer", pool_id="a/f")
    busy = world.ready(pool_id="a/h")
    world.put("long", pool_id="a/h")
    nest(world, "inner", ("outer", 0), "a/g")
    for _ in range(3):
        assert look(world, "a/f", "a/g", "a/h") == []
    world.finish(busy)
    for _ in range(3):
        assert look(world, "a/f", "a/g", "a/h") == [], "an idle one yields too"


def test_cluster_whose_every_container_waits_for_room_is_stalled(world: World) -> None:
    world.define("a/g", autoscaler=settings())
    world.ready(pool_id="a/f")
    world.put("outer", pool_id="a/f")
    nest(world, "inner", ("outer", 0), "a/g")
    look(world, "a/f", "a/g")
    assert look(world, "a/f", "a/g") == [("inner", 0)]


def test_containers_that_a_minimum_keeps_make_no_room(world: World) -> None:
    world.define("a/g", autoscaler=settings())
    world.define("a/h", autoscaler=settings(least=1))
    world.ready(pool_id="a/f")
    world.ready(pool_id="a/h")
    world.put("outer", pool_id="a/f")
    nest(world, "inner", ("outer", 0), "a/g")
    look(world, "a/f", "a/g", "a/h")
    assert look(world, "a/f", "a/g", "a/h") == [("inner", 0)]
