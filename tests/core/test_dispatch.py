"""Which inputs go to which container: batches on a ledger."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import CANCEL_GRACE, PATIENCE_SECONDS
from modalnb.settings import Retries
from tests.core.containers import FakeContainer
from tests.core.world import SHORT, World, batches, indices, warm


@pytest.fixture
def world() -> World:
    world = World()
    world.define(batch=batches(4, 100))
    return world


# -- when a batch goes ---------------------------------------------------------------------------


def test_full_batch_goes_at_once_in_one_message(world: World) -> None:
    container = world.ready()
    run, *_ = world.put("map", 4)
    assert isinstance(run, ev.RunBatch)
    assert run.inputs == tuple((n + 1, "map", n, "code", b"x") for n in range(4))
    assert len(container.slots) == 1


def test_partial_batch_goes_when_its_oldest_input_has_waited(world: World) -> None:
    world.ready()
    world.put("one")
    world.advance(0.06)
    world.put("two", 2)
    assert world.ledger.wake_at(world.now) == 0.1
    world.advance(0.03)
    assert world.batches == []
    world.advance(0.02)
    assert world.batches == [3]


def test_batch_is_sealed_late_when_a_slot_is_free(world: World) -> None:
    """While the function is slow the queue grows, and so do its batches."""
    container = world.ready()
    world.put("first", 4)
    for n in range(3):
        world.put(f"call-{n}")
        world.advance(10.0)
    assert world.batches == [4]
    world.finish(container)
    assert world.batches == [4, 3], "they have waited long enough"
    world.put("more", 2)
    world.finish(container)
    assert world.batches == [4, 3], "these have not"


def test_without_a_wait_a_batch_is_what_is_there() -> None:
    world = World()
    world.define(batch=batches(4, 0))
    container = world.ready()
    world.put("one")
    assert world.batches == [1]
    world.put("two", 2)
    world.finish(container)
    assert world.batches == [1, 2]


def test_batch_takes_one_slot(world: World) -> None:
    world.define(batch=batches(4, 100), max_inputs=2, target_inputs=2)
    container = world.ready()
    world.put("map", 12)
    assert world.batches == [4, 4]
    assert world.ledger.containers[container.name].running == 8
    world.finish(container, position=1)
    assert world.batches == [4, 4, 4]


def test_calls_share_batches_and_take_turns(world: World) -> None:
    container = world.ready()
    world.put("busy", 4)
    world.put("long", 5)
    world.put("short", 2)
    world.finish(container)
    assert [job[1:] for job in container.jobs] == [
        ("long", 0),
        ("short", 0),
        ("long", 1),
        ("short", 1),
    ]


def test_oldest_input_is_found_behind_one_that_is_tried_again(world: World) -> None:
    """A retried input is the first of its call, though others have waited for longer."""
    world.define(batch=batches(4, 100), retries=Retries(max_retries=1, initial_delay=0.09))
    container = world.ready()
    world.put("map", 4, closed=False)
    (lease, *_), *_ = container.jobs
    container.jobs.pop(0)
    world.outputs(container.name, [(lease, "error", b"", 1.0)])
    world.put("map", 1, start=4, closed=False)
    world.advance(0.09)
    world.finish(container)
    assert [item.index for item in (*world.ledger.calls["map"].front,)] == [0]
    assert world.ledger.wake_at(world.now) == 0.1, "it waits since 0.0, not since 0.09"
    world.advance(0.02)
    assert indices(container) == [0, 4]


def test_shorter_wait_acts_at_once(world: World) -> None:
    world.ready()
    world.put("one")
    world.define(batch=batches(4, 10))
    assert world.ledger.wake_at(world.now) == 0.01
    world.define(batch=batches(4, 1000))
    world.advance(0.1)
    assert world.batches == []
    world.advance(0.9)
    assert world.batches == [1]


def test_time_of_a_batch_that_filled_up_is_no_matter_any_more(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.put("three", 3)
    world.finish(container)
    world.advance(0.05)
    world.put("two")
    world.advance(0.099)
    assert world.batches == [4]
    world.advance(0.001)
    assert world.batches == [4, 1]


def test_batch_time_of_a_pool_that_is_gone_goes_with_it(world: World) -> None:
    container = world.ready()
    world.put("one")
    container.is_draining = True
    world.handle(ev.PoolRemoved(pool_id="a/f", cancel=True))
    world.lose(container)
    assert world.gone_pools == ["a/f"]
    assert world.ledger.wake_at(world.now) is None


def test_sizes_and_waits_of_batches_are_counted(world: World) -> None:
    container = world.ready()
    world.put("four", 4)
    world.finish(container)
    world.put("one")
    world.advance(0.1)
    tally = world.ledger.pools["a/f"].batches
    assert tally.sizes == ((1, 1), (4, 1))
    assert [bound for bound, count in tally.waits if count] == [0.001, 0.1]


# -- what is in a batch ----------------------------------------------------------------------------


def test_batch_never_mixes_code_and_stays_large(world: World) -> None:
    """A function is defined again while a map over the old one goes on."""
    container = world.ready()
    world.put("busy", 4)
    world.put("old", 8, code="old")
    world.put("new", 8, code="new")
    for _ in range(4):
        world.finish(container)
    world.finish(container)
    assert world.batches == [4, 4, 4, 4, 4]
    assert [job[1] for job in world.deliveries[4::4]] == ["old", "new", "old", "new"]


def test_input_that_died_alone_never_joins_a_batch_again(world: World) -> None:
    world.put("bad")
    world.lose(_after_wait(world))
    world.put("good", 3)
    bad = world.ready()
    assert [job[1] for job in bad.jobs] == ["bad"], "it does not wait for others"
    good = world.ready()
    world.advance(0.1)
    assert [job[1] for job in good.jobs] == ["good"] * 3


def _after_wait(world: World) -> FakeContainer:
    container = world.ready()
    world.advance(0.1)
    return container


def test_input_that_runs_alone_is_left_out_of_the_batches_of_others(world: World) -> None:
    world.define(batch=batches(4, 0))
    world.put("bad", caller="bob")
    world.lose(world.ready())
    container = world.ready()
    assert [job[1] for job in container.jobs] == ["bad"]
    world.put("a", 3)
    world.put("b", 3)
    world.lose(container)
    world.ledger.pools["a/f"].ready.move_to_end(world.ledger.calls["bad"])
    container = world.ready()
    assert {job[1] for job in container.jobs} == {"a", "b"}
    assert len(container.jobs) == 4


def test_lost_batch_goes_together_once_more_and_then_one_by_one(world: World) -> None:
    world.put("map", 4)
    for _ in range(2):
        container = world.ready()
        assert indices(container) == [0, 1, 2, 3]
        world.lose(container)
    container = world.ready()
    for n in range(4):
        assert indices(container) == [n]
        world.finish(container)
    assert world.statuses("map") == ["ok"] * 4


# -- settings that change while leases are out -----------------------------------------------------


def test_single_inputs_behind_a_batch_wait_and_are_recalled() -> None:
    """The function is not batched any more; one slot is still taken by a batch."""
    world = World()
    world.define(max_inputs=2, target_inputs=2)
    container = warm(world)
    world.define(max_inputs=2, target_inputs=2, batch=batches(4, 100))
    world.put("batch", 4)
    world.define(max_inputs=2, target_inputs=2)
    world.put("map", 5)
    known = world.ledger.containers[container.name]
    assert (known.held, known.running, known.prefetched) == (6, 5, 4)
    world.advance(PATIENCE_SECONDS + 6 * SHORT)
    other = world.expect()
    world.read_orders(container)
    assert indices(container) == [0, 1, 2, 3, 0]
    world.ready(other)
    assert indices(other)[:2] == [1, 2]


def test_inputs_held_ahead_before_the_function_was_batched_keep_their_places() -> None:
    world = World()
    world.define()
    container = warm(world)
    world.put("map", 9)
    assert indices(container) == [0, 1, 2]
    world.define(batch=batches(4, 100))
    world.finish(container)
    world.finish(container)
    assert indices(container) == [2]
    world.finish(container)
    assert indices(container) == [3, 4, 5, 6]


def test_fewer_slots_than_batches_are_out_makes_none_of_them_wait(world: World) -> None:
    world.define(batch=batches(4, 100), max_inputs=3, target_inputs=3)
    container = world.ready()
    world.put("map", 16)
    world.define(batch=batches(4, 100))
    known = world.ledger.containers[container.name]
    assert (known.held, known.running, known.prefetched) == (3, 12, 0)
    world.advance(1.0)
    assert container.orders == []
    for _ in range(2):
        world.finish(container)
        assert world.batches == [4, 4, 4]
    world.finish(container)
    assert world.batches == [4, 4, 4, 4]


# -- batches of which some inputs are not wanted any more ------------------------------------------


def test_batch_goes_on_as_long_as_somebody_wants_a_part_of_it(world: World) -> None:
    """One caller that goes must not take the others' inputs along, nor their container."""
    container = world.ready()
    for name in "abcd":
        world.put(name)
    answer = world.cancel("b")
    assert not any(isinstance(i, ev.CancelLeases | ev.KillContainer) for i in answer)
    world.advance(2 * CANCEL_GRACE)
    assert not container.is_killed
    world.finish(container)
    assert [world.statuses(name) for name in "abcd"] == [["ok"], ["cancelled"], ["ok"], ["ok"]]


def test_batch_that_nobody_wants_is_stopped_as_a_whole(world: World) -> None:
    container = world.ready()
    world.put("a", 3)
    world.put("b")
    world.cancel("b")
    world.advance(1.0)
    assert ev.CancelLeases(container_id=container.name, leases=(1, 2, 3, 4)) in world.cancel("a")
    world.advance(CANCEL_GRACE - 0.1)
    assert not container.is_killed
    world.advance(0.1)
    assert container.is_killed


def test_overdue_batch_is_over_for_all_and_its_late_outputs_are_dropped(world: World) -> None:
    container = world.ready()
    world.put("map", 4)
    world.overdue(container)
    assert world.statuses("map") == ["timeout"] * 4
    world.finish(container, payload={"name": "segment"})
    assert world.spent == [{"name": "segment"}] * 4
    assert not container.is_killed


def test_inputs_of_a_failed_batch_are_tried_again_each_on_its_own(world: World) -> None:
    world.define(batch=batches(4, 100), retries=Retries(max_retries=1, initial_delay=1.0))
    container = world.ready()
    world.put("map", 4)
    leases = [job[0] for job in container.jobs]
    container.jobs.clear()
    statuses: list[ev.Status] = ["ok", "error", "ok", "error"]
    world.outputs(
        container.name, [(n, s, b"y", 1.0) for n, s in zip(leases, statuses, strict=True)]
    )
    world.put("more", 2)
    world.advance(1.0)
    assert world.batches == [4, 2]
    world.finish(container)
    assert world.batches == [4, 2], "they are in the queue since a moment ago"
    world.advance(0.1)
    assert sorted(indices(container)) == [1, 3]
