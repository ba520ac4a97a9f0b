"""What a container is given of its host: devices and threads by its environment, and limits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from modalnb.runtime import memory

LOOK_SECONDS = 0.2
#: How long the story of a container that ends itself may take to be sent.
FAREWELL_SECONDS = 0.5


class Equipment:
    """Sets up this process for one pool, before any code of the pool is loaded.

    Parameters
    ----------
    is_ours : bool
        Whether the process was started by modalnb, which then watches it and may keep it to some
        cores. A process of somebody else's watches itself.
    say_farewell : callable
        Sends the story of why this process ends; called on the watching thread.
    """

    def __init__(self, *, is_ours: bool, say_farewell: Callable[[str], None]) -> None:
        self._is_ours = is_ours
        self._say_farewell = say_farewell
        #: What the environment was before.
        self._before: dict[str, str | None] = {}
        self._watching: threading.Event | None = None
        #: Sets the threads of libraries back to what they were.
        self._threads: Any = None

    def on_equip(
        self,
        env: Mapping[str, str],
        cores: tuple[int, int] | None,
        memory_limit: int | None,
    ) -> None:
        """Take this and give back what was given before."""
        for name, value in self._before.items():
            _set_env(name, value)
        self._before = {name: os.environ.get(name) for name in env}
        for name, value in env.items():
            _set_env(name, value)
        self._use_threads(env.get("OMP_NUM_THREADS"))
        if cores is not None and self._is_ours:
            _keep_to_cores(*cores)
        if not self._is_ours:
            self._watch_memory(memory_limit)

    def _use_threads(self, count: str | None) -> None:
        """Libraries that are loaded already, as NumPy may be, do not look at the environment."""
        if self._threads is not None:
            self._threads.restore_original_limits()
            self._threads = None
        if count is not None and "numpy" in sys.modules:
            import threadpoolctl

            self._threads = threadpoolctl.threadpool_limits(limits=int(count))

    def close(self) -> None:
        """Watch no more."""
        self._watch_memory(None)

    def _watch_memory(self, limit: int | None) -> None:
        if self._watching is not None:
            self._watching.set()
            self._watching = None
        if limit is not None:
            self._watching = threading.Event()
            threading.Thread(
                target=self._watch,
                args=(limit, self._watching),
                name="modalnb-memory",
                daemon=True,
            ).start()

    def _watch(self, limit: int, ended: threading.Event) -> None:
        while not ended.wait(LOOK_SECONDS):
            used = memory.used_bytes(os.getpid())
            if used > limit * memory.MIB:
                self._say_farewell(memory.story(used, limit))
                ended.wait(FAREWELL_SECONDS)
                memory.kill_family(os.getpid())


def _set_env(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _keep_to_cores(first: int, count: int) -> None:
    """Let the threads of this process run on `count` of its cores only, where that can be said."""
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return
    chosen = {allowed[(first + n) % len(allowed)] for n in range(count)}
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):
            os.sched_setaffinity(int(thread), chosen)
