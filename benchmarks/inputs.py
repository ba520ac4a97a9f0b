"""The functions that containers and workers run; plain, so that every peer can pickle them."""

from __future__ import annotations

import os
import time
from typing import Any


def noop(value: Any) -> Any:
    """Nothing: all that is measured is the way there and back."""
    return value


def sleep_1ms(value: Any) -> Any:
    """A millisecond in which the core is free for others."""
    time.sleep(0.001)
    return value


def burn_1ms(value: Any) -> Any:
    """A millisecond of the core; time for which the process is preempted does not count."""
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass
    return value


def sleep_many(count: int) -> int:
    """What one process does of the work of :func:`sleep_1ms` if nobody hands it out."""
    for _ in range(count):
        time.sleep(0.001)
    return count


def burn_many(count: int) -> int:
    """What one process does of the work of :func:`burn_1ms` if nobody hands it out."""
    for _ in range(count):
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass
    return count


def nap(milliseconds: float) -> float:
    """Sleep, and tell when that was over."""
    time.sleep(milliseconds / 1000)
    return time.time()


def gate(path: str | None) -> str | None:
    """Wait for a file to appear; without a path, nothing."""
    while path is not None and not os.path.exists(path):
        time.sleep(0.01)
    return path


def gate_pid(path: str | None) -> int:
    """The same, and tell which process this was."""
    while path is not None and not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()
