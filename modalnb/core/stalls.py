"""Finds functions that wait for themselves: every slot is taken by an input that waits for one.

An input that makes a live call waits for it, and one that asks for the outputs of a spawned call
waits for that.  If all inputs that a full pool executes wait, each through any number of other
functions, for inputs that wait in such pools, then nothing will ever end: one of the waiting inputs
has to fail.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from modalnb.core.pools import Pool
from modalnb.core.records import Call, Container, Input

#: Call and index of an input.
_Key = tuple[str, int]


class StallWatch:
    """Remembers the last check: what stood still then and has not moved since is stalled."""

    def __init__(self, pools: Mapping[str, Pool], awaited: Mapping[str, Call]) -> None:
        self._pools = pools
        self._awaited = awaited
        self._before: dict[Pool, int] = {}
        self._rivals: Mapping[str, Collection[str]] = {}

    def check(
        self, full: Collection[str], rivals: Mapping[str, Collection[str]] | None = None
    ) -> Input | None:
        """A waiting input that has to fail, if some pool is stalled.

        Parameters
        ----------
        full : collection of str
            Ids of the pools that get no further container as long as none leaves.
        rivals : mapping, optional
            The pools whose containers have what one of them lacks; all, unless given.
        """
        self._rivals = rivals or {}
        stalled = self._stalled(full)
        before, self._before = self._before, {pool: pool.done for pool in stalled}
        for pool in stalled:
            if before.get(pool) == pool.done:
                return self._youngest(pool)
        return None

    def _stalled(self, full: Collection[str]) -> list[Pool]:
        """Full pools that free no slot unless another one of them does."""
        waiting = [call.pool for call in self._awaited.values() if call.waiting]
        stalled = [pool for pool in dict.fromkeys(waiting) if pool.id in full]
        while stalled:
            stuck = self._stuck(stalled)
            held = [pool for pool in stalled if self._is_held(pool, stuck)]
            if held == stalled:
                break
            stalled = held
        return stalled

    def _stuck(self, stalled: Collection[Pool]) -> set[_Key]:
        """Inputs that wait, each through any number of calls, for a slot of the `stalled` pools."""
        reached = [call for call in self._awaited.values() if call.waiting and call.pool in stalled]
        stuck: set[_Key] = set()
        known = set(reached)
        while reached:
            for _, key in reached.pop().waiters or ():
                stuck.add(key)
                above = self._awaited.get(key[0])
                if above is not None and above not in known:
                    known.add(above)
                    reached.append(above)
        return stuck

    def _is_held(self, pool: Pool, stuck: set[_Key]) -> bool:
        """Whether a pool keeps all its slots taken and gets no room from others."""
        if not all(_is_stuck(container, stuck) for container in pool.containers.values()):
            return False
        maximum = pool.settings.autoscaler.max_containers
        if maximum is not None and len(pool.containers) >= maximum:
            return True
        rivals = self._rivals.get(pool.id, self._pools)
        others = [other for name, other in self._pools.items() if name in rivals]
        return not any(_gives_way(other, stuck) for other in others)

    def _youngest(self, pool: Pool) -> Input:
        call = [call for call in self._awaited.values() if call.pool is pool and call.waiting][-1]
        return call.fresh[-1] if call.fresh else call.front[0]


def _is_stuck(container: Container, stuck: set[_Key]) -> bool:
    """Whether a container executes only inputs that will not end by themselves."""
    if container.is_killed or not container.leases:
        return False
    items = container.leases.values()
    return all(item is not None and (item.call.id, item.index) in stuck for item in items)


def _gives_way(pool: Pool, stuck: set[_Key]) -> bool:
    """Whether a pool has a container that may leave and make room for one of another pool."""
    if len(pool.containers) <= pool.settings.autoscaler.min_containers:
        return False
    return not all(_is_stuck(container, stuck) for container in pool.containers.values())
