"""Snapshots for the tests of views: of one pool, whatever its containers do."""

from __future__ import annotations

from typing import Any

from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import (
    AppSnapshot,
    ContainerState,
    ContainerStats,
    Mark,
    MarkKind,
    PoolSnapshot,
)

POOL_ID = "ap-1/f"


def containers(**counts: int) -> tuple[ContainerStats, ...]:
    """So many containers in each state: ``containers(busy=2, idle=1)``."""
    found: list[ContainerStats] = []
    for state, count in counts.items():
        kind: Any = state
        found += [_container(kind, len(found) + n) for n in range(count)]
    return tuple(found)


def _container(state: ContainerState, number: int) -> ContainerStats:
    return ContainerStats(
        container_id=f"ap-f-{number}",
        state=state,
        running=int(state in ("busy", "draining")),
        idle_since=0.0 if state == "idle" else None,
        cpu=0.5,
        memory=64 * 2**20,
    )


def pool(at: float = 0.0, **facts: Any) -> PoolSnapshot:
    """A pool at one instant; `settings` may be a dict of the autoscaler's parameters."""
    settings = facts.pop("settings", {})
    known: dict[str, Any] = {"pool_id": POOL_ID, "app": "app", "function": "f", "taken_at": at}
    return PoolSnapshot(**{**known, "settings": AutoscalerSettings(**settings), **facts})


def app(*pools: PoolSnapshot, at: float | None = None, **facts: Any) -> AppSnapshot:
    """An app with these pools, seen when the first of them was."""
    taken_at = at if at is not None else pools[0].taken_at
    return AppSnapshot(app_id="ap-1", name="app", seq=1, taken_at=taken_at, pools=pools, **facts)


def mark(seq: int, at: float, kind: MarkKind = "ready", text: str = "cold start") -> Mark:
    """Something that happened to the pool."""
    return Mark(seq=seq, at=at, kind=kind, pool_id=POOL_ID, text=text)
