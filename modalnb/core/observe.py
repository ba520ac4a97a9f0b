"""Turns the records of the ledger into snapshots, the only form in which others see them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modalnb.core.capacity import Want, shares
from modalnb.core.records import Container, Pool
from modalnb.settings import Limits
from modalnb.snapshot import ContainerState, ContainerStats, Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the cluster has for one pool at this instant; see :class:`PoolSnapshot`."""

    share: int | None
    room: int | None
    contended: bool


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
        ("inputs in total", pool.waiting_live + pool.leased_live, limits.total),
        ("pending spawned inputs", pool.waiting_durable, limits.pending_spawns),
    )
    return tuple(Gauge(name=name, current=n, maximum=most) for name, n, most in used)


def _wanted(pool: Pool) -> int:
    demand = pending(pool) + running(pool)
    wanted = math.ceil(demand / pool.settings.target_inputs)
    maximum = pool.settings.autoscaler.max_containers
    return wanted if maximum is None else min(wanted, maximum)


def grants(
    pools: Iterable[Pool], cpu: Mapping[str, float], cores: float | None, room: int | None
) -> dict[str, Grant]:
    """What each pool may have of a cluster of `cores` that holds `room` containers in all.

    A pool is contended when another one lacks containers that its share would allow, and only
    the idle ones of this pool stand in the way.
    """
    listed = list(pools)
    wants = {p.id: Want(containers=_wanted(p), cpu=cpu[p.id]) for p in listed}
    granted = shares(wants, cores) if cores is not None else {}
    present = {p.id: len(p.containers) for p in listed}
    free = None if room is None else room - sum(present.values())
    starved = [
        p.id
        for p in listed
        if free is not None
        and free <= 0
        and present[p.id] < min(wants[p.id].containers, max(1, granted.get(p.id, 1)))
    ]
    return {
        p.id: Grant(
            share=granted.get(p.id),
            room=None if free is None else max(0, present[p.id] + free),
            contended=any(other != p.id for other in starved),
        )
        for p in listed
    }
