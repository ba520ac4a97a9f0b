"""What must hold of a ledger after every event; for tests and for looking into a live plane."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modalnb.core.agenda import Matter
from modalnb.core.ledger import Ledger
from modalnb.core.pools import Pool
from modalnb.core.records import Call, Container


def validate(ledger: Ledger) -> None:
    """Raise AssertionError if the ledger contradicts itself."""
    leased = _count_leases(ledger)
    for call_id, call in ledger.calls.items():
        assert call.id == call_id
        _validate_call(call, leased[call])
    for pool_id, pool in ledger.pools.items():
        assert pool.id == pool_id
        assert pool.is_leaving == (pool_id in ledger.leaving), "leaving pools are listed"
        _validate_pool(pool, [call for call in ledger.calls.values() if call.pool is pool])
    for container_id, container in ledger.containers.items():
        assert container.id == container_id
        _validate_container(container)
    _validate_members(ledger)
    _validate_dependents(ledger)
    _validate_watches(ledger)


def _count_leases(ledger: Ledger) -> Counter[Call]:
    """Leases by call; none is held twice, none on an input that is settled or waiting."""
    leased: Counter[Call] = Counter()
    leases: set[int] = set()
    inputs: set[tuple[str, int]] = set()
    for container in ledger.containers.values():
        assert leases.isdisjoint(container.leases), "a lease is held by one container"
        leases.update(container.leases)
        for item in container.leases.values():
            if item is not None:
                key = (item.call.id, item.index)
                assert key not in inputs, f"input {key} is leased twice"
                assert ledger.calls.get(item.call.id) is item.call, "leased inputs have a call"
                assert item.call.pool is container.pool, "containers serve their own pool"
                inputs.add(key)
                leased[item.call] += 1
    for call in ledger.calls.values():
        for item in [*call.front, *call.fresh, *(call.retrying or ())]:
            key = (call.id, item.index)
            assert key not in inputs, f"input {key} is queued beside its lease, or twice"
            inputs.add(key)
    return leased


def _validate_call(call: Call, leased: int) -> None:
    assert call.leased == leased, f"{call.id} counts {call.leased} leases, holds {leased}"
    assert call.done >= 0
    retrying = call.retrying or {}
    assert call.admitted == call.waiting + len(retrying) + call.leased + call.done, (
        f"{call.id} loses inputs"
    )
    assert all(item.call is call and item.failures for item in retrying)
    assert not call.is_ended, f"{call.id} has ended and is still open"
    assert all(0 <= item.index < call.admitted for item in [*call.front, *call.fresh])
    assert all(item.call is call for item in [*call.front, *call.fresh])


def _validate_pool(pool: Pool, calls: list[Call]) -> None:
    live = [call for call in calls if call.kind == "live"]
    waiting = {call.id for call in calls if call.waiting}
    assert pool.calls == len(calls)
    assert len(pool.ready) == len(waiting), "each waiting call is once in the queue"
    assert {call.id for call in pool.ready} == waiting, "the queue has the waiting calls"
    assert pool.waiting_live == sum(call.waiting for call in live)
    assert pool.waiting == sum(call.waiting for call in calls)
    assert pool.leased_live == sum(call.leased for call in live)
    assert pool.leased_live + pool.leased_durable == sum(call.leased for call in calls)
    assert 0 <= pool.failed <= pool.done
    indexed = sum(container in pool.slots for container in pool.containers.values())
    assert len(pool.slots) == indexed, "the index has only containers of the pool"
    assert pool.retrying == sum(len(call.retrying or ()) for call in calls)
    assert pool.retrying_live == sum(len(call.retrying or ()) for call in live)
    if pool.ready:
        alone = pool.peek().runs_alone
        free = pool.slots.emptiest_below(1 if alone else pool.settings.max_inputs)
        if pool.settings.batch is None or alone:
            assert free is None, "no input waits while a slot is free"
        else:
            assert free is None or pool.batch_at is not None, "a batch has a time when it goes"


def _validate_container(container: Container) -> None:
    held = container.held
    assert bool(held) == bool(container.leases)
    assert container.running + container.prefetched == len(container.leases)
    if held < container.ceiling:
        assert container.pool.slots.level(container) == held, f"{container.id} is on a wrong level"
    else:
        assert container not in container.pool.slots, f"{container.id} takes nothing"
    assert container.draining or not container.is_killed
    if container.ready_at is None:
        assert not held, f"{container.id} holds inputs and is not ready"
        assert container.idle_since is None
    else:
        assert (container.idle_since is None) == bool(held)
    assert (container.running_since is not None) == bool(held)
    suspects = [item for item in container.leases.values() if item and item.is_suspect]
    assert container.is_watched or not suspects
    if container.is_taken:
        assert held <= 1, f"{container.id} has an input that runs alone beside others"


def _validate_members(ledger: Ledger) -> None:
    """Containers and calls belong to pools, and to each one only."""
    by_pool = [c for pool in ledger.pools.values() for c in pool.containers.items()]
    assert len(by_pool) == len(ledger.containers)
    assert dict(by_pool) == ledger.containers, "pools and the ledger list the same containers"
    for pool in [owner.pool for owner in _owned(ledger)]:
        assert ledger.pools.get(pool.id) is pool, f"{pool.id} is gone while something needs it"
    for pool in ledger.leaving.values():
        assert pool.calls or pool.containers, f"{pool.id} should be gone"


def _owned(ledger: Ledger) -> list[Call | Container]:
    return [*ledger.calls.values(), *ledger.containers.values()]


def _validate_dependents(ledger: Ledger) -> None:
    expected: dict[str, set[str]] = {}
    for call in ledger.calls.values():
        if call.kind == "live" or call.gets_more:
            expected.setdefault(call.caller, set()).add(call.id)
    found = {caller: set(calls) for caller, calls in ledger.book.dependent.items()}
    assert found == expected, "callers know the calls that need them"


def _validate_watches(ledger: Ledger) -> None:
    """What needs ticks is listed, and nothing else."""
    times: set[tuple[Matter, Any]] = set()
    for call in ledger.calls.values():
        times |= {("retry", item) for item in call.retrying or ()}
    for pool in ledger.pools.values():
        if pool.batch_at is not None:
            times.add(("batch", pool))
    for container in ledger.containers.values():
        is_watched = container.prefetched and not container.is_slow and not container.is_killed
        assert (container in ledger.leasing.ahead) == bool(is_watched)
        if container.ready_at is None and not container.draining:
            times.add(("start", container))
        if container.is_killed:
            continue
        assert container.is_guarded or not container.leases, "what runs has a limit"
        if container.is_guarded:
            times.add(("overdue", container))
        times |= {("cling", (container, lease)) for lease in container.unwanted_leases()}
    assert times == ledger.agenda.matters(), "what has to be looked at has a time"
