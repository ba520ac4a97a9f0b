"""Measures the cores and the memory that this process uses."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any


class Meter:
    """Cores wanted between two looks, and resident memory."""

    def __init__(self) -> None:
        self._mark = (0.0, 0.0)

    def reset(self) -> None:
        """Measure from now on."""
        self._mark = (time.monotonic(), _cpu_seconds())

    def read(self) -> dict[str, Any]:
        """``cpu`` in cores since the last look, ``memory`` in bytes."""
        now, cpu = time.monotonic(), _cpu_seconds()
        then, cpu_then = self._mark
        self._mark = (now, cpu)
        used = max(0.0, cpu - cpu_then) / max(now - then, 1e-9)
        return {"cpu": used, "memory": _resident_bytes()}


def _cpu_seconds() -> float:
    """CPU time that the threads of this process had, and that they waited for.

    With the time that they had alone, containers that crowd each other out would seem to need
    little, and more and more of them would be started.
    """
    nanoseconds = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/self/task/{thread}/schedstat") as file:
                    had, waited, _ = file.read().split()
                nanoseconds += int(had) + int(waited)
    except (OSError, ValueError):
        return time.process_time()
    return nanoseconds / 1e9 or time.process_time()


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
