"""What callers may do, and what they get for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.core import events as ev
from modalnb.core.ledger import PATIENCE_TICK
from modalnb.settings import Limits
from tests.core.world import World, settings

ONE_AT_A_TIME = Limits(pending=4, total=5, pending_spawns=4)


@pytest.fixture
def world() -> World:
    world = World(ONE_AT_A_TIME)
    world.define()
    return world


def test_put_runs_in_a_free_slot_and_delivers_to_the_caller(world: World) -> None:
    container = world.ready()
    run, *_ = world.put("one")
    assert run == ev.RunInputs(container_id=container.name, inputs=((1, "one", 0, "code", b"x"),))
    assert world.finish(container, payload=b"y") == [
        ev.DeliverOutputs(caller="alice", outputs=(("one", 0, "ok", b"y"),)),
        ev.CallEnded(call_id="one", pool_id="a/f", code="code", kind="live"),
    ]


def test_put_without_a_free_slot_wakes_the_autoscaler(world: World) -> None:
    assert world.put("one") == [ev.PoolChanged(pool_id="a/f")]


@pytest.mark.parametrize(
    ("wants", "is_woken"),
    [
        ({}, False),
        ({"autoscaler": settings(buffer=1)}, True),
        ({"max_inputs": 2, "target_inputs": 1}, True),
        ({"max_inputs": 2, "target_inputs": 2}, False),
    ],
)
def test_put_into_a_free_slot_wakes_the_autoscaler_only_if_it_may_want_more(
    world: World, wants: dict[str, Any], is_woken: bool
) -> None:
    world.define(**wants)
    world.ready()
    world.woken.clear()
    world.put("one")
    assert (world.woken == {"a/f"}) == is_woken


def test_empty_closed_call_ends_at_once(world: World) -> None:
    assert world.put("none", 0)[0] == ev.CallEnded(
        call_id="none", pool_id="a/f", code="code", kind="live"
    )


def test_call_stays_open_until_its_caller_closes_it(world: World) -> None:
    container = world.ready()
    world.put("one", closed=False)
    world.finish(container)
    assert "one" in world.ledger.calls
    world.handle(ev.CallClosed(call_id="one"))
    assert world.ended == ["one"]
    assert world.handle(ev.CallClosed(call_id="one")) == []


def test_durable_call_that_was_closed_and_is_owed_inputs_ends_with_its_caller(
    world: World,
) -> None:
    """Nobody else could put what was refused."""
    container = world.ready()
    world.put("spawn", 6, kind="durable", closed=False, patient=True)
    world.handle(ev.CallClosed(call_id="spawn"))
    for _ in range(4):
        world.finish(container)
    assert world.ended == []
    world.handle(ev.CallerGone(caller="alice"))
    assert world.ended == ["spawn"]
    assert not world.ledger.book.dependent


# -- refusals ----------------------------------------------------------------------------------


def test_refused_call_leaves_no_trace_but_its_end(world: World) -> None:
    world.put("full", 4)
    refused, ended = world.put("late", 2)
    assert refused == ev.InputsRefused(
        caller="alice",
        call_id="late",
        start=0,
        count=2,
        limit="pending inputs",
        current=4,
        maximum=4,
    )
    assert isinstance(ended, ev.CallEnded)
    assert set(world.ledger.calls) == {"full"}


def test_refused_rest_of_an_impatient_call_is_never_awaited(world: World) -> None:
    world.put("map", 6)
    assert world.refusals[0].start == 4
    container = world.ready()
    for _ in range(4):
        world.finish(container)
    assert world.ended == ["map"]


def test_open_call_survives_a_refusal_of_an_impatient_put(world: World) -> None:
    world.put("open", 0, closed=False)
    world.put("full", 4)
    world.put("open", 1, closed=False)
    assert world.refusals[-1].start == 0
    assert "open" in world.ledger.calls
    assert world.ended == []


def test_patient_call_puts_the_refused_inputs_again_after_closing(world: World) -> None:
    """A caller that has no more to add may close while some of it was refused."""
    container = world.ready()
    world.put("map", 8, closed=False, patient=True)
    assert world.refusals[0].start == 4
    world.handle(ev.CallClosed(call_id="map"))
    for _ in range(4):
        world.finish(container)
    assert "map" in world.ledger.calls, "it waits for what is owed"
    world.put("map", 4, start=4, closed=False, patient=True)
    for _ in range(4):
        world.finish(container)
    assert world.ended == ["map"]
    assert world.statuses("map") == ["ok"] * 8


def test_patient_call_that_was_refused_as_a_whole_may_start_later(world: World) -> None:
    world.put("full", 4)
    world.put("map", 2, patient=True)
    world.handle(ev.CallClosed(call_id="map"))
    assert "map" in world.ledger.calls
    world.handle(ev.CallCancelled(call_id="full"))
    world.put("map", 2, patient=True)
    container = world.ready()
    world.finish(container)
    world.finish(container)
    assert world.statuses("map") == ["ok", "ok"]


def test_inputs_beyond_refused_ones_do_not_enter_and_are_awaited(world: World) -> None:
    """They were on the way when their caller was told of the refusal, and come again."""
    container = world.ready()
    world.put("map", 6, closed=False, patient=True)
    assert world.refusals[0].start == 5 - 1
    world.finish(container)
    world.put("map", 2, start=6, closed=False, patient=True)
    world.handle(ev.CallClosed(call_id="map"))
    assert len(world.refusals) == 1, "one refusal, one repetition"
    for _ in range(3):
        world.finish(container)
    assert "map" in world.ledger.calls
    world.put("map", 4, start=4, closed=False, patient=True)
    for _ in range(4):
        world.finish(container)
    assert world.statuses("map") == ["ok"] * 8
    assert world.ended == ["map"]


def test_inputs_beyond_a_gap_of_an_impatient_caller_are_refused(world: World) -> None:
    world.put("map", 1, closed=False)
    world.put("map", 2, start=2, closed=False)
    refusal = world.refusals[0]
    assert (refusal.start, refusal.count, refusal.limit) == (2, 2, "pending inputs")
    assert world.ledger.calls["map"].admitted == 1


def test_repeated_inputs_are_skipped(world: World) -> None:
    container = world.ready()
    world.put("map", 2, closed=False, patient=True)
    world.put("map", 3, closed=True, patient=True)
    world.put("map", 3, closed=True, patient=True)
    assert not world.refusals
    for _ in range(3):
        world.finish(container)
    assert world.ended == ["map"]
    assert [index for _, _, index in world.deliveries] == [0, 1, 2]


def test_repeated_durable_inputs_are_accepted_again(world: World) -> None:
    world.put("spawn", 2, kind="durable", closed=False, patient=True)
    world.put("spawn", 2, kind="durable", closed=False, patient=True)
    assert [accepted.count for accepted in world.accepted] == [2, 2]
    assert world.ledger.pools["a/f"].waiting_durable == 2


def test_durable_batch_is_accepted_only_as_a_whole(world: World) -> None:
    world.put("spawn", 6, kind="durable", closed=False, patient=True)
    assert world.accepted == []
    refusal = world.refusals[0]
    assert (refusal.start, refusal.limit) == (4, "pending spawned inputs")
    world.ready()
    world.put("spawn", 2, start=4, kind="durable", closed=False, patient=True)
    assert world.accepted == []
    assert world.refusals[1].start == 5


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=12))
def test_inputs_are_admitted_in_order_without_gaps_whatever_is_put(
    puts: list[tuple[int, int]],
) -> None:
    world = World(Limits(pending=8))
    world.define()
    admitted = 0
    world.put("map", 0, closed=False, patient=True)
    for start, count in puts:
        world.put("map", count, start=start, closed=False, patient=True)
        if start <= admitted:
            admitted = max(admitted, min(8, start + count))
        call = world.ledger.calls["map"]
        assert call.admitted == admitted
        assert [item.index for item in call.fresh] == list(range(admitted))


# -- cancelling --------------------------------------------------------------------------------


def test_cancel_settles_waiting_and_running_inputs_at_once(world: World) -> None:
    container = world.ready()
    world.put("map", 3)
    instructions = world.handle(ev.CallCancelled(call_id="map"))
    assert ev.CancelLeases(container_id=container.name, leases=(1,)) in instructions
    assert world.statuses("map") == ["cancelled"] * 3
    assert world.ended == ["map"]
    assert world.handle(ev.CallCancelled(call_id="map")) == []


def test_cancelled_slot_is_free_when_its_container_says_so(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.handle(ev.CallCancelled(call_id="one"))
    world.put("two")
    assert world.ledger.pools["a/f"].waiting == 1
    world.finish(container, status="cancelled", payload={"name": "late result"})
    assert world.spent == [{"name": "late result"}]
    assert [job[1] for job in container.jobs] == ["two"]


def test_inputs_on_the_way_to_a_cancelled_call_are_turned_away(world: World) -> None:
    world.put("map", 1, closed=False)
    world.handle(ev.CallCancelled(call_id="map"))
    payload = {"name": "segment"}
    spent, outputs = sorted(
        world.put("map", 2, start=1, payload=payload), key=lambda i: type(i).__name__, reverse=True
    )
    assert spent == ev.PayloadsSpent(payloads=(payload, payload))
    assert outputs == ev.DeliverOutputs(
        caller="alice",
        outputs=(("map", 1, "cancelled", None), ("map", 2, "cancelled", None)),
    )


def test_durable_inputs_for_a_cancelled_call_are_accepted_as_cancelled(world: World) -> None:
    world.put("spawn", 1, kind="durable", closed=False, patient=True)
    world.handle(ev.CallCancelled(call_id="spawn"))
    accepted, kept = world.put("spawn", 1, start=1, kind="durable", closed=False, patient=True)
    assert accepted == ev.CallAccepted(caller="alice", call_id="spawn", count=2)
    assert kept == ev.KeepOutputs(outputs=(("spawn", 1, "cancelled", None),))


def test_caller_that_goes_takes_its_live_calls_along(world: World) -> None:
    container = world.ready()
    world.put("a1")
    world.put("a2", closed=False)
    world.put("b1", caller="bob")
    world.handle(ev.CallerGone(caller="alice"))
    assert world.ended == ["a1", "a2"]
    world.finish(container, status="cancelled")
    assert [job[1] for job in container.jobs] == ["b1"]
    assert world.handle(ev.CallerGone(caller="alice")) == []


def test_caller_that_goes_leaves_its_durable_calls(world: World) -> None:
    container = world.ready()
    world.put("spawn", kind="durable")
    world.put("spawn_map", 1, kind="durable", closed=False, patient=True)
    world.handle(ev.CallerGone(caller="alice"))
    kept = [i for _ in range(2) for i in world.finish(container) if isinstance(i, ev.KeepOutputs)]
    assert [order.outputs[0][0] for order in kept] == ["spawn", "spawn_map"]
    assert world.ended == ["spawn", "spawn_map"]


def test_caller_that_goes_owes_nothing_any_more(world: World) -> None:
    container = world.ready()
    world.put("spawn", 8, kind="durable", closed=False, patient=True)
    for _ in range(4):
        world.finish(container)
    world.handle(ev.CallerGone(caller="alice"))
    assert world.ended == ["spawn"]


# -- pools -------------------------------------------------------------------------------------


def test_removed_pool_finishes_what_was_accepted_and_goes(world: World) -> None:
    container = world.ready()
    world.put("map", 2, closed=False)
    world.handle(ev.PoolRemoved(pool_id="a/f"))
    for _ in range(2):
        world.finish(container)
    assert world.ledger.pools["a/f"].settings.autoscaler == settings(window=0)
    world.drain(container)
    world.lose(container)
    assert world.gone_pools == [], "its caller may put more"
    world.put("map", 1, start=2)
    world.woken.clear()
    container = world.ready()
    world.finish(container)
    assert world.woken == {"a/f"}
    world.drain(container)
    world.lose(container)
    assert world.statuses("map") == ["ok"] * 3
    assert world.gone_pools == ["a/f"]


def test_removed_pool_without_anything_is_gone_at_once(world: World) -> None:
    world.handle(ev.PoolRemoved(pool_id="a/f"))
    assert world.gone_pools == ["a/f"]
    assert world.handle(ev.PoolRemoved(pool_id="a/f")) == []


def test_cancelled_pool_cancels_its_calls_and_drains_its_containers(world: World) -> None:
    idle, busy = world.ready(), world.ready()
    world.put("one")
    idle.is_draining = busy.is_draining = True
    world.handle(ev.PoolRemoved(pool_id="a/f", cancel=True))
    assert world.statuses("one") == ["cancelled"]
    assert (idle.is_retired, busy.is_retired) == (True, False)
    world.finish(busy, status="cancelled")
    assert busy.is_retired
    world.lose(idle)
    world.lose(busy)
    assert world.gone_pools == ["a/f"]


def test_pool_defined_again_before_it_is_gone_stays(world: World) -> None:
    container = world.ready()
    world.handle(ev.PoolRemoved(pool_id="a/f"))
    world.define()
    world.lose(container)
    assert world.gone_pools == []


def test_more_inputs_at_once_after_a_change_of_settings(world: World) -> None:
    world.ready()
    world.put("map", 3)
    known = next(iter(world.ledger.containers.values()))
    world.define(max_inputs=3, target_inputs=3)
    assert (known.running, known.prefetched) == (3, 0)
    world.define()
    assert (known.running, known.prefetched) == (1, 2)
    assert world.ledger.wake_at(0.0) == PATIENCE_TICK


def test_requests_that_shared_a_lease_count_as_done(world: World) -> None:
    container = world.ready()
    world.put("one")
    world.finish(container)
    world.handle(ev.InputsAnswered(pool_id="a/f", count=41))
    world.handle(ev.InputsAnswered(pool_id="a/gone", count=1))
    assert world.ledger.pools["a/f"].done == 42
