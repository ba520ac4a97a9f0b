"""The processes that this one has started, and for how long they have run, where Linux tells."""

from __future__ import annotations

import os
import time
from contextlib import suppress


def children() -> set[int]:
    """The children of all threads of this process; those that have ended unseen too."""
    pids: set[int] = set()
    with suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
                pids.update(map(int, file.read().split()))
    return pids


def has_started_any(seconds: float) -> bool:
    """Whether a child that began within the last so many seconds still runs."""
    return any(_runs(child) <= seconds for child in children())


def _runs(pid: int) -> float:
    """For how long a process has run at least; for ever if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *facts = file.read().rpartition(b")")[2].split()
    except OSError:
        return float("inf")
    if state == b"Z":
        return float("inf")
    # The time is in ticks since the system began; the process may have begun within the tick.
    begun = (int(facts[18]) + 1) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun
