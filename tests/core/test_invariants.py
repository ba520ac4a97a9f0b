"""The checker finds what would be wrong, and finds nothing wrong with a ledger at work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modalnb.core import events as ev
from modalnb.core.agenda import Matter
from modalnb.core.invariants import validate
from modalnb.core.ledger import Ledger
from modalnb.core.pools import Pool
from modalnb.core.records import Call, Container, Input
from modalnb.settings import FunctionSettings, Retries
from tests.core.world import World, batches

Damage = Callable[[Ledger], object]


def pool_of(ledger: Ledger) -> Pool:
    return ledger.pools["a/f"]


def call_of(ledger: Ledger) -> Call:
    return ledger.calls["map"]


def busy(ledger: Ledger) -> Container:
    return next(c for c in ledger.containers.values() if len(c.leases) == 2)


def idle(ledger: Ledger) -> Container:
    return next(c for c in ledger.containers.values() if c.pool.id == "a/g" and not c.leases)


def forget_times(ledger: Ledger, matter: Matter) -> None:
    for found, thing in ledger.agenda.matters():
        if found == matter:
            ledger.agenda.drop(found, thing)


def swap_kind(pool: Pool) -> None:
    pool.retrying_live -= 1
    pool.retrying_durable += 1


def change(owner: Callable[[Ledger], object], name: str, value: object) -> Damage:
    return lambda ledger: setattr(owner(ledger), name, value)


def count_up(owner: Callable[[Ledger], object], name: str) -> Damage:
    return lambda ledger: setattr(owner(ledger), name, getattr(owner(ledger), name) + 1)


def lease_of(ledger: Ledger) -> Input:
    item = next(iter(busy(ledger).leases.values()))
    assert item is not None
    return item


DAMAGES: dict[str, Damage] = {
    "call counts a lease too many": count_up(call_of, "leased"),
    "call counts an outcome too many": count_up(call_of, "done"),
    "call counts an input too many": count_up(call_of, "admitted"),
    "call lost an input": lambda ledger: call_of(ledger).front.pop(),
    "call has an input twice": lambda ledger: call_of(ledger).front.append(
        call_of(ledger).front[-1]
    ),
    "call is out of the queue": lambda ledger: pool_of(ledger).ready.clear(),
    "call is not its caller's": lambda ledger: ledger.book.dependent.clear(),
    "leased input is queued": lambda ledger: call_of(ledger).front.append(lease_of(ledger)),
    "input is leased twice": lambda ledger: busy(ledger).leases.update({99: lease_of(ledger)}),
    "lease is held twice": lambda ledger: idle(ledger).leases.update(busy(ledger).leases),
    "pool counts a call too many": count_up(pool_of, "calls"),
    "pool counts a live input too many": count_up(pool_of, "waiting_live"),
    "pool counts a durable input too many": count_up(pool_of, "waiting_durable"),
    "pool counts a live lease too many": count_up(pool_of, "leased_live"),
    "pool has failed more than it has done": change(pool_of, "failed", 99),
    "pool leaves unlisted": change(pool_of, "is_leaving", True),
    "pool is gone": lambda ledger: ledger.pools.clear(),
    "container is on a wrong level": lambda ledger: idle(ledger).pool.slots.place(idle(ledger), 1),
    "container is not in the index": lambda ledger: idle(ledger).pool.slots.remove(idle(ledger)),
    "draining container is in the index": change(idle, "draining", True),
    "container is killed but not draining": change(idle, "is_killed", True),
    "idle container has no age": change(idle, "idle_since", None),
    "idle container runs": change(idle, "running_since", 1.0),
    "busy container is idle": change(busy, "idle_since", 1.0),
    "busy container is not ready": change(busy, "ready_at", None),
    "busy container is for itself": change(busy, "is_taken", True),
    "suspect is not watched": lambda ledger: setattr(lease_of(ledger), "is_suspect", True),
    "container has no pool": lambda ledger: pool_of(ledger).containers.clear(),
    "prefetch is not watched": lambda ledger: ledger.leasing.ahead.clear(),
    "cancelled input is not watched": lambda ledger: forget_times(ledger, "cling"),
    "running input has no limit": change(busy, "is_guarded", False),
    "limit of a running input has no time": lambda ledger: forget_times(ledger, "overdue"),
    "start has no time": lambda ledger: forget_times(ledger, "start"),
    "retry has no time": lambda ledger: forget_times(ledger, "retry"),
    "batch has no time": lambda ledger: setattr(ledger.pools["a/b"], "batch_at", None),
    "time is for nothing": lambda ledger: ledger.agenda.add(1.0, "batch", pool_of(ledger)),
    "pool counts a retry too many": count_up(pool_of, "retrying_durable"),
    "pool mistakes a live retry for a durable one": lambda ledger: swap_kind(ledger.pools["a/r"]),
    "input without a failure is tried again": lambda ledger: setattr(
        next(iter(ledger.calls["again"].retrying or ())), "failures", 0
    ),
    "slot is free while inputs wait": lambda ledger: pool_of(ledger).slots.place(busy(ledger), 0),
    "index has a stranger": lambda ledger: pool_of(ledger).slots.place(idle(ledger), 1),
    "pool that should be gone is not": lambda ledger: ledger.leaving.update(
        {"a/h": Pool("a/h", FunctionSettings())}
    ),
}


def ledger_at_work() -> Ledger:
    """Pools that run, hold ahead, queue, try again and gather a batch, with a slow cancel."""
    world = World()
    world.define("a/b", batch=batches())
    world.ready(pool_id="a/b")
    world.put("batch", 2, pool_id="a/b")
    world.define("a/r", retries=Retries(max_retries=1))
    world.put("again", pool_id="a/r")
    world.finish(world.ready(pool_id="a/r"), status="error")
    world.expect("a/r")
    world.define("a/f")
    world.put("warm")
    world.finish(world.ready(), seconds=0.03)
    world.put("map", 5, closed=False)
    world.define("a/g")
    world.ready(pool_id="a/g")
    world.put("gone", pool_id="a/g")
    world.handle(ev.CallCancelled(call_id="gone"))
    world.ready(pool_id="a/g")
    return world.ledger


def test_validate_finds_nothing_wrong_with_a_ledger_at_work() -> None:
    ledger = ledger_at_work()
    validate(Ledger())
    validate(ledger)
    assert call_of(ledger).waiting


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_validate_finds_damage(damage: Damage) -> None:
    ledger = ledger_at_work()
    damage(ledger)
    with pytest.raises(AssertionError):
        validate(ledger)


def test_validate_does_not_change_what_it_checks() -> None:
    ledger = Ledger()
    ledger.handle(ev.PoolDefined(pool_id="a/f", settings=FunctionSettings()), 0.0)
    put = ev.InputsPut(
        caller="alice", call_id="map", pool_id="a/f", code="", start=0, payloads=[b""] * 3
    )
    ledger.handle(put, 0.0)
    fresh = list(call_of(ledger).fresh)
    validate(ledger)
    assert (call_of(ledger).fresh, call_of(ledger).front) == (fresh, [])
