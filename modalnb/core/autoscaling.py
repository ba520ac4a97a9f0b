"""Decides how many containers a pool should have: demand → needed → buffered → bounded → steps.

The rules are those of Modal's scaling guide: up as soon as inputs lack a slot, down only by idle
age, never outside ``min_containers`` and ``max_containers``.  ``decide`` is a pure function of one
snapshot, so the same facts give the same decision live, in tests and in a replay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import ContainerStats, PoolSnapshot

#: Containers that failed to start are tried again after this many seconds, doubled each time.
FIRST_BACKOFF = 0.5
MAX_BACKOFF = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the policy carries from one decision to the next."""

    #: When the function last had demand; its buffer stays for a scaledown window after that.
    active_at: float = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Start so many containers, drain these, look again at `wake_at`; `reason` is for people."""

    desired: int = 0
    start: int = 0
    drain: tuple[str, ...] = ()
    reason: str = ""
    wake_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The number of containers wanted, and how it came about, in words."""

    desired: int
    terms: tuple[str, ...]


def decide(
    pool: PoolSnapshot, settings: AutoscalerSettings, memory: Memory, now: float
) -> tuple[Decision, Memory]:
    """Decide on one snapshot of a pool.

    Parameters
    ----------
    pool : PoolSnapshot
        The facts, all of one instant.
    settings : AutoscalerSettings
        The settings in force.
    memory : Memory
        What the last decision on this pool left behind.
    now : float
        The time on the snapshot's clock, in seconds.
    """
    if pool.demand:
        memory = replace(memory, active_at=now)
    active_until = memory.active_at + settings.scaledown_window
    is_active = pool.demand > 0 or now < active_until
    plan = _bounded(_buffered(_needed(pool), settings, is_active), pool, settings)
    present = [c for c in pool.containers if c.state != "draining"]
    start = _startable(plan.desired - len(present), pool, settings, now)
    drain, next_expiry = _drainable(present, plan.desired, pool, settings, now)
    wakes = [t for t in (next_expiry, _retry_at(pool, now)) if t is not None]
    if now < active_until < math.inf and settings.buffer_containers:
        wakes.append(active_until)
    decision = Decision(
        desired=plan.desired,
        start=start,
        drain=drain,
        reason=_reason(plan, pool, present, start, drain, now),
        wake_at=min(wakes, default=None),
    )
    return decision, memory


def _needed(pool: PoolSnapshot) -> _Plan:
    """Containers for the demand: no new one for inputs that others will have finished before.

    A container that takes 0.06 s to start is no help to inputs of 1 ms: until it is ready each
    present one has served 60.  So a slot counts for ``1 + boot / duration`` inputs.  Inputs that
    run in draining containers end there and want no other one.
    """
    running = pool.running - sum(c.running for c in pool.containers if c.state == "draining")
    demand = pool.pending + running
    if not demand:
        words = f"{pool.running} running where no more go" if pool.running else "no inputs"
        return _Plan(desired=0, terms=(words,))
    words = f"{pool.pending} pending + {running} running"
    per_container = float(pool.capacity)
    terms = [f"{words} at {per_container:.0f} per container"]
    if pool.single_use:
        terms = [f"{words} at {per_container:.0f} per container, which is used once"]
    elif pool.mean_duration is not None and pool.mean_boot is not None:
        turns = 1 + pool.mean_boot / max(pool.mean_duration, 1e-6)
        if turns >= 2:
            per_container *= turns
            terms = [f"{words}, {per_container:.0f} served per container while one starts"]
    needed = math.ceil(demand / per_container)
    terms.append(f"= {needed}")
    maximum = pool.settings.max_containers
    # Containers that only wait for other calls leave their share to those that work.
    share = None if pool.share is None else pool.share + pool.blocked
    if share is not None and needed > share and not _bounds_more(pool, maximum, share):
        needed = share
        terms.append(f", capped by its share of the cores: {needed}")
    return _Plan(desired=needed, terms=tuple(terms))


def _bounds_more(pool: PoolSnapshot, maximum: int | None, share: int) -> bool:
    """Whether the maximum, or what there is of devices or memory, says more than the share."""
    bounds = (maximum, pool.room if pool.room_words else None)
    return any(bound is not None and bound <= share for bound in bounds)


def _buffered(plan: _Plan, settings: AutoscalerSettings, is_active: bool) -> _Plan:
    """Add the buffer while the function is active."""
    if not settings.buffer_containers or not is_active:
        return plan
    return _Plan(
        desired=plan.desired + settings.buffer_containers,
        terms=(*plan.terms, f"+ buffer {settings.buffer_containers}"),
    )


def _bounded(plan: _Plan, pool: PoolSnapshot, settings: AutoscalerSettings) -> _Plan:
    """Keep the number between the minimum and the maximum, and what the cluster can hold."""
    desired, terms = plan.desired, plan.terms
    if desired < settings.min_containers:
        desired = settings.min_containers
        terms = (*terms, f"raised to min {desired}")
    if settings.max_containers is not None and desired > settings.max_containers:
        desired = settings.max_containers
        terms = (*terms, f"capped by max {desired}")
    if pool.room is not None and desired > pool.room:
        desired = pool.room
        terms = (*terms, f"capped by {pool.room_words or 'what the cluster can hold'}: {desired}")
    return _Plan(desired=desired, terms=terms)


def _retry_at(pool: PoolSnapshot, now: float) -> float | None:
    """When containers may be started again after one failed to start."""
    if not pool.boot_failures:
        return None
    delay = min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(pool.boot_failures - 1, 10))
    retry_at = pool.boot_failed_at + delay
    return retry_at if retry_at > now else None


def _startable(missing: int, pool: PoolSnapshot, settings: AutoscalerSettings, now: float) -> int:
    """Containers to start; those that still drain count against the maximum and the room."""
    if missing <= 0 or _retry_at(pool, now) is not None:
        return 0
    for ceiling in (settings.max_containers, pool.room):
        if ceiling is not None:
            missing = min(missing, ceiling - len(pool.containers))
    return max(0, missing)


def _drainable(
    present: list[ContainerStats],
    desired: int,
    pool: PoolSnapshot,
    settings: AutoscalerSettings,
    now: float,
) -> tuple[tuple[str, ...], float | None]:
    """Containers to drain now, and when the next one will be old enough."""
    surplus = len(present) - desired
    if surplus <= 0:
        return (), None
    ceilings = [c for c in (settings.max_containers, pool.room) if c is not None]
    # Others wait for a container: a pool yields what is above its share at once.
    over = surplus if pool.contended else len(present) - min([len(present), *ceilings])
    idle = sorted(
        (c for c in present if c.state == "idle"),
        key=lambda c: (_idle_since(c, now), c.container_id),
    )
    chosen: list[str] = []
    next_expiry: float | None = None
    for container in idle[:surplus]:
        since = _idle_since(container, now)
        if len(chosen) < over or now >= since + settings.scaledown_window:
            chosen.append(container.container_id)
        elif next_expiry is None:
            next_expiry = since + settings.scaledown_window
    chosen += _not_idle(present, over - len(chosen))
    return tuple(chosen), next_expiry


def _idle_since(container: ContainerStats, now: float) -> float:
    return now if container.idle_since is None else container.idle_since


def _not_idle(present: list[ContainerStats], over: int) -> list[str]:
    """Containers that have to go though they are not idle: booting ones, then the least busy.

    They finish what they execute and take nothing new.
    """
    if over <= 0:
        return []
    others = sorted(
        (c for c in present if c.state != "idle"),
        key=lambda c: (c.state == "busy", c.running, c.container_id),
    )
    return [c.container_id for c in others[:over]]


def _reason(
    plan: _Plan,
    pool: PoolSnapshot,
    present: list[ContainerStats],
    start: int,
    drain: tuple[str, ...],
    now: float,
) -> str:
    """The decision in one line that a person understands."""
    text = " ".join(plan.terms).replace(" ,", ",")
    booting = pool.count("booting")
    have = f"have {len(present)}" + (f" ({booting} starting)" if booting else "")
    if start:
        step = f"start {start}"
    elif drain:
        why = "others wait for room" if pool.contended else "idle longest or above the maximum"
        step = f"drain {len(drain)}, {why}"
    elif len(present) > plan.desired:
        step = "keep the others until their scaledown window is over"
    elif (retry_at := _retry_at(pool, now)) is not None:
        step = f"{pool.boot_failures} failed to start, next try in {retry_at - now:.1f} s"
    elif len(present) < plan.desired:
        step = "wait for draining ones to leave"
    else:
        step = "stay"
    return f"{text} → want {plan.desired}, {have}: {step}"
