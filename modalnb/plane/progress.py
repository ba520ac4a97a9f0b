"""Says how far calls are, for those who show them: few facts, asked for several times a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from modalnb.core.observe import container_state

if TYPE_CHECKING:
    from modalnb.core.pools import Pool
    from modalnb.core.records import Call
    from modalnb.plane.scheduler_plugin import PlanePlugin

#: Executing inputs that are named one by one.
MAX_NAMED = 2_000


def progress(plane: PlanePlugin, call_ids: Iterable[str], now: float) -> dict[str, dict[str, Any]]:
    """For each call that is under way: its inputs that execute, and the states of its containers.

    ``ready_for`` is for how many seconds its pool has had a container that takes inputs.
    """
    live = (plane.ledger.calls.get(call_id) for call_id in call_ids)
    return {call.id: _facts(call, now) for call in live if call is not None}


def _facts(call: Call, now: float) -> dict[str, Any]:
    executing = [item.index for item in _executing(call.pool) if item.call is call]
    ready = [c.ready_at for c in call.pool.containers.values() if c.ready_at is not None]
    return {
        "ready_for": now - min(ready) if ready else None,
        "running": len(executing),
        "executing": executing[:MAX_NAMED],
        "containers": dict(Counter(container_state(c) for c in call.pool.containers.values())),
    }


def _executing(pool: Pool) -> Iterable[Any]:
    """The inputs in slots, without those that only wait in a container."""
    for container in pool.containers.values():
        waiting = set(container.waiting_leases())
        for lease, item in container.leases.items():
            if item is not None and lease not in waiting:
                yield item
