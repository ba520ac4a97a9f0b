"""Containers on workers that somebody else started: leased to pools, never started nor ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modalnb.cluster.backends.base import OnEnded
from modalnb.core.capacity import Capacity


class FixedBackend:
    """Hands out workers that have no pool; the plane takes them back by itself."""

    tells_fates = False

    def __init__(self) -> None:
        self.on_ended: OnEnded = lambda name, story, over_limit=False: None
        self.on_printed: Callable[[str, str], None] = lambda name, text: None

    def capacity(self) -> Capacity:
        """As many containers as there are workers, which only the plane can count."""
        return Capacity()

    async def devices(self) -> None:
        """Each worker tells what its host has."""

    def limit_memory(self, names: list[str], mebibytes: int) -> None:
        """Each worker watches itself."""

    def names(self, pool_id: str, count: int, unassigned: list[str]) -> list[str]:
        """Workers without a pool; they leave the list, so that no other pool is given them."""
        chosen = unassigned[:count]
        del unassigned[:count]
        return chosen

    def start(self, pool_id: str, names: list[str], hosts: Mapping[str, str]) -> None:
        """They run already."""

    def greeted(self, name: str, host: str) -> None:
        """Where workers are is not ours to say."""

    def stop(self, names: list[str]) -> None:
        """Workers of somebody else's are not ours to end."""

    def kill(self, name: str) -> None:
        """A process of somebody else's is not ours to end; its input stays until it returns."""

    def lost(self, name: str) -> None:
        """Whoever started the worker may start it again."""

    async def close(self) -> None:
        """Nothing was started here."""
