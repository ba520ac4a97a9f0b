"""Shares what a cluster has among its pools: one container each, the others by demand.

Cores are shared by measured or requested use and may be overbooked, memory is bounded by what
containers are taken to need, devices are held by one container each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Cores that a container is taken to use until it has been measured.
ASSUMED_CPU = 0.5
#: The least that a container counts; Modal's own default request.
LEAST_CPU = 0.125


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What all pools share; None is unknown, so unlimited.

    ``memory`` is in MiB, of which a container that asks for none is taken to need
    ``memory_each``.  An ``is_elastic`` cluster may get hosts that nobody knows yet.
    """

    cores: float | None = None
    containers: int | None = None
    memory: float | None = None
    memory_each: float = 0.0
    is_elastic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one container of a pool counts for, and for how many more its devices would do.

    ``devices`` is None for a pool that needs none; ``words`` names what it lacks otherwise.
    ``rivals`` are the pools that hold devices which it could use.
    """

    cpu: float = ASSUMED_CPU
    memory: float = 0.0
    devices: int | None = None
    words: str = ""
    rivals: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A pool that wants `containers` working containers of so many cores and MiB each."""

    containers: int
    cpu: float = ASSUMED_CPU
    memory: float = 0.0


def cpu_of(requested: float | None, measured: float | None) -> float:
    """Cores that one container of a pool counts for: as asked, else as measured, else assumed."""
    if requested is not None:
        return requested
    if measured is None:
        return ASSUMED_CPU
    return min(1.0, max(LEAST_CPU, measured))


def shares(wants: Mapping[str, Want], cores: float, memory: float | None = None) -> dict[str, int]:
    """How many working containers each pool may have.

    Each pool that wants any gets one, even beyond the cores: a container that waits inside a
    nested call must not starve the one it waits for.  What is left goes round by what each pool
    still wants, the largest first, so equal wants get equal shares and nobody more than it wants.
    """
    granted = {name: min(1, want.containers) for name, want in wants.items()}
    cores -= sum(wants[name].cpu * count for name, count in granted.items())
    room = math.inf if memory is None else memory
    room -= sum(wants[name].memory * count for name, count in granted.items())
    hungry = {name for name, want in wants.items() if want.containers > granted[name]}
    while hungry:
        name = max(hungry, key=lambda name: (wants[name].containers / (granted[name] + 0.5), name))
        if wants[name].cpu > cores + 1e-9 or wants[name].memory > room + 1e-9:
            hungry.discard(name)
            continue
        granted[name] += 1
        cores -= wants[name].cpu
        room -= wants[name].memory
        if granted[name] >= wants[name].containers:
            hungry.discard(name)
    return granted
