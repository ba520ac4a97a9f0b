"""Containers on workers that somebody else started: leased to pools, never started nor ended."""

from __future__ import annotations

from collections.abc import Callable

from modalnb.cluster.backends.base import Capacity


class FixedBackend:
    """Hands out workers that have no pool, and takes them back."""

    tells_fates = False

    def __init__(self, release: Callable[[str], None]) -> None:
        self.on_ended: Callable[[str, str], None] = lambda name, story: None
        self.on_printed: Callable[[str, str], None] = lambda name, text: None
        self._release = release
        self._promised: set[str] = set()

    def capacity(self) -> Capacity:
        """As many containers as there are workers, which only the plane can count."""
        return Capacity(cores=None, room=None)

    def names(self, pool_id: str, count: int, unassigned: list[str]) -> list[str]:
        """Workers without a pool."""
        self._promised.intersection_update(unassigned)
        chosen = [name for name in unassigned if name not in self._promised][:count]
        self._promised.update(chosen)
        return chosen

    def start(self, pool_id: str, names: list[str]) -> None:
        """They run already."""

    def stop(self, names: list[str]) -> None:
        """Give workers back."""
        for name in names:
            self._release(name)

    def kill(self, name: str) -> None:
        """A process of somebody else's is not ours to end; its input stays until it returns."""

    def lost(self, name: str) -> None:
        """Whoever started the worker may start it again."""

    async def close(self) -> None:
        """Nothing was started here."""
