"""Finds functions that wait for themselves: every slot is taken by an input that waits for one.

An input that makes a live call waits for it, and one that asks for the outputs of a spawned call
waits for that.  If all inputs that a full pool executes wait, each
through any number of other functions, for inputs that wait in such pools, then nothing will ever
end: one of the waiting inputs has to fail.
"""

from __future__ import annotations

from collections.abc import Iterable

from modalnb.core.calls import CallBook
from modalnb.core.pools import Pool
from modalnb.core.records import Call, Input

_Key = tuple[str, int]


class StallWatch:
    """Remembers the last check: what stood still then and has not moved since is stalled."""

    def __init__(self, book: CallBook) -> None:
        self._book = book
        self._before: dict[Pool, int] = {}

    def check(self, full: Iterable[str]) -> list[Input]:
        """One waiting input of each pool that is stalled; they have to fail.

        Parameters
        ----------
        full : iterable of str
            Ids of the pools that can get no further container.
        """
        stalled = self._stalled(frozenset(full))
        still = [pool for pool in stalled if self._before.get(pool) == pool.done]
        self._before = {pool: pool.done for pool in stalled}
        return [item for pool in still[:1] if (item := self._youngest(pool)) is not None]

    def _stalled(self, full: frozenset[str]) -> set[Pool]:
        children: dict[_Key, list[Call]] = {}
        for call in self._book.awaited.values():
            for _, key in call.waiters or ():
                children.setdefault(key, []).append(call)
        pools = {call.pool for call in self._book.awaited.values() if call.waiting}
        stalled = {pool for pool in pools if pool.id in full}
        while stalled:
            stuck = _Stuck(children, stalled)
            moving = {pool for pool in stalled if not stuck.holds(pool)}
            if not moving:
                break
            stalled -= moving
        return stalled

    def _youngest(self, pool: Pool) -> Input | None:
        waiting = [c for c in self._book.awaited.values() if c.pool is pool and c.waiting]
        return (waiting[-1].fresh or waiting[-1].front)[-1] if waiting else None


class _Stuck:
    """Which executing inputs would never end if the `stalled` pools never freed a slot."""

    def __init__(self, children: dict[_Key, list[Call]], stalled: set[Pool]) -> None:
        self._children = children
        self._stalled = stalled
        self._known: dict[_Key, bool] = {}

    def holds(self, pool: Pool) -> bool:
        """Whether every input that the pool executes is stuck."""
        items = [item for c in pool.containers.values() for item in c.leases.values()]
        return all(item and self._is_stuck((item.call.id, item.index)) for item in items)

    def _is_stuck(self, key: _Key) -> bool:
        known = self._known.get(key)
        if known is None:
            self._known[key] = False
            known = self._known[key] = any(map(self._waits, self._children.get(key, ())))
        return known

    def _waits(self, call: Call) -> bool:
        if call.waiting and call.pool in self._stalled:
            return True
        leases = [
            item
            for container in call.pool.containers.values()
            for item in container.leases.values()
            if item is not None and item.call is call
        ]
        return any(self._is_stuck((item.call.id, item.index)) for item in leases)
