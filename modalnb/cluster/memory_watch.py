"""Watches the memory of containers that have a limit, and has those ended that exceed it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modalnb.runtime import memory

#: A container can allocate some hundred MiB in this time.
LOOK_SECONDS = 0.1


class MemoryWatch:
    """Looks only while some container has a limit.

    Parameters
    ----------
    pid_of : callable
        The process of a container, or None while it has none.
    end : callable
        Called with a container's name and the story, before its processes are killed.
    """

    def __init__(
        self, pid_of: Callable[[str], int | None], end: Callable[[str, str], None]
    ) -> None:
        self._pid_of = pid_of
        self._end = end
        self._limits: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, name: str, mebibytes: int) -> None:
        """Watch a container from now on."""
        self._limits[name] = mebibytes
        if self._timer is None:
            self._set_timer()

    def forget(self, name: str) -> None:
        """A container is gone."""
        self._limits.pop(name, None)

    def close(self) -> None:
        """Watch no more."""
        self._limits.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        for name, limit in list(self._limits.items()):
            pid = self._pid_of(name)
            used = memory.used_bytes(pid) if pid is not None else 0
            if pid is not None and used > limit * memory.MIB:
                self.forget(name)
                self._end(name, memory.story(used, limit))
                memory.kill_family(pid)
        if self._limits:
            self._set_timer()
