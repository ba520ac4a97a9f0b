"""Turns the records of the ledger into snapshots, the only form in which others see them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modalnb.core.capacity import Capacity, Need, Want, shares
from modalnb.core.pools import Pool
from modalnb.core.records import Call, Container
from modalnb.settings import Limits
from modalnb.snapshot import ContainerState, ContainerStats, Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the cluster has for one pool at this instant; see :class:`PoolSnapshot`."""

    share: int | None
    room: int | None
    contended: bool
    room_words: str = ""
    #: The pools whose containers take up the room; no part of what is granted.
    rivals: frozenset[str] = field(default=frozenset(), compare=False)


def container_state(container: Container) -> ContainerState:
    """The state of a container in one word."""
    if container.draining:
        return "draining"
    if container.ready_at is None:
        return "booting"
    return "busy" if container.leases else "idle"


def container_stats(container: Container) -> ContainerStats:
    """The facts of one container."""
    return ContainerStats(
        container_id=container.id,
        state=container_state(container),
        running=container.running,
        prefetched=container.prefetched,
        started_at=container.started_at,
        ready_at=container.ready_at,
        idle_since=container.idle_since,
        inputs_done=container.done,
    )


def pending(pool: Pool) -> int:
    """Inputs that no slot executes: those in the queue and those held ahead."""
    return pool.waiting + sum(c.prefetched for c in pool.containers.values())


def running(pool: Pool) -> int:
    """Inputs that execute."""
    return sum(c.running for c in pool.containers.values())


def gauges(pool: Pool, limits: Limits) -> tuple[Gauge, ...]:
    """How near the pool is to the limits that its inputs are admitted by."""
    used = (
        ("pending inputs", pool.waiting_live, limits.pending),
        (
            "inputs in total",
            pool.waiting_live + pool.retrying_live + pool.leased_live,
            limits.total,
        ),
        (
            "pending spawned inputs",
            pool.waiting_durable + pool.retrying_durable,
            limits.pending_spawns,
        ),
    )
    return tuple(Gauge(name=name, current=n, maximum=most) for name, n, most in used)


def waiting_inputs(awaited: Iterable[Call]) -> frozenset[tuple[str, int]]:
    """The inputs that wait for these calls."""
    return frozenset(key for call in awaited for _, key in call.waiters or ())


def blocked(pool: Pool, waiting: frozenset[tuple[str, int]]) -> int:
    """Containers whose every input is one of the `waiting` ones; they use no core meanwhile."""
    if not waiting:
        return 0
    return sum(
        bool(c.leases)
        and all(i is not None and (i.call.id, i.index) in waiting for i in c.leases.values())
        for c in pool.containers.values()
    )


def usual_wait(pool: Pool, part: float) -> float | None:
    """The time in seconds within which this part of the recent inputs got a slot."""
    waits = sorted(pool.waits)
    return waits[min(len(waits) - 1, int(part * len(waits)))] if waits else None


def _asked(pool: Pool) -> int:
    """Working containers that would have something to do."""
    demand = pending(pool) + running(pool)
    asked = math.ceil(demand / pool.settings.capacity)
    maximum = pool.settings.autoscaler.max_containers
    return asked if maximum is None else min(asked, maximum)


def _want(pool: Pool, need: Need) -> Want:
    """What there is no device for is left to the others."""
    asked = _asked(pool)
    if need.devices is not None:
        asked = min(asked, len(pool.containers) + need.devices)
    return Want(containers=asked, cpu=need.cpu, memory=need.memory)


def grants(
    pools: Iterable[Pool], needs: Mapping[str, Need], capacity: Capacity
) -> dict[str, Grant]:
    """What each pool may have of a cluster.

    A pool is contended when another one lacks containers that its share would allow, and only
    idle ones of this pool stand in the way: any, or those that hold the devices it needs.
    """
    listed = {pool.id: pool for pool in pools}
    present = {name: len(pool.containers) for name, pool in listed.items()}
    everyone = frozenset(listed)
    wants = {name: _want(pool, needs[name]) for name, pool in listed.items()}
    granted = shares(wants, capacity.cores, capacity.memory) if capacity.cores is not None else {}
    free = _left(capacity.containers, sum(present.values()))
    memory = _left(capacity.memory, sum(needs[name].memory * present[name] for name in listed))
    bounds = {name: _bound(needs[name], free, memory) for name in listed}
    starved = {
        name: needs[name].rivals if bounds[name].is_devices else everyone
        for name, pool in listed.items()
        if bounds[name].more <= 0
        and present[name] < min(_asked(pool), max(1, granted.get(name, 1)))
    }
    for name in starved:
        if bounds[name].is_devices:
            _yield_one(needs[name].rivals - {name}, present, granted)
    return {
        name: Grant(
            share=granted.get(name),
            room=None if bound.more == math.inf else present[name] + int(bound.more),
            room_words=bound.words,
            rivals=needs[name].rivals if bound.is_devices else everyone,
            contended=any(name in rivals for other, rivals in starved.items() if other != name),
        )
        for name, bound in bounds.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """How many more containers of a pool fit, and what stands in the way of others."""

    more: float
    words: str = ""
    is_devices: bool = False


def _bound(need: Need, free: float, memory: float) -> _Bound:
    bounds = [_Bound(more=max(0.0, free))]
    if need.memory and memory < math.inf:
        bounds.append(_Bound(more=max(0.0, memory // need.memory), words="the memory there is"))
    if need.devices is not None:
        bounds.append(_Bound(more=need.devices, words=need.words, is_devices=True))
    return min(bounds, key=lambda bound: bound.more)


def _left(total: float | None, used: float) -> float:
    return math.inf if total is None else total - used


def _yield_one(rivals: Iterable[str], present: Mapping[str, int], granted: dict[str, int]) -> None:
    """The largest of the pools that hold what another one has none of gives one container up."""
    largest = max(rivals, key=lambda name: (present.get(name, 0), name), default=None)
    if largest is not None and present.get(largest, 0) >= 2:
        fewer = present[largest] - 1
        granted[largest] = min(granted.get(largest, fewer), fewer)
