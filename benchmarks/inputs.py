"""The functions that containers and workers run; plain, so that every peer can pickle them."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
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


async def wait_50ms(value: Any) -> Any:
    """What an input does that asks somebody else and waits for the answer."""
    await asyncio.sleep(0.05)
    return value


def sleep_50ms(value: Any) -> Any:
    """The same on a thread."""
    time.sleep(0.05)
    return value


#: A model: so many seconds for each call of it, and for each input.
CALL_SECONDS = 0.004
INPUT_SECONDS = 0.00005


def model(values: list[Any]) -> list[Any]:
    """One call of a model on a batch; another process does the work."""
    time.sleep(CALL_SECONDS + INPUT_SECONDS * len(values))
    return values


def model_of_one(value: Any) -> Any:
    """One call of a model on one input."""
    return model([value])[0]


async def slow_model(values: list[Any]) -> list[Any]:
    """A batch of any size takes 50 ms."""
    await asyncio.sleep(0.05)
    return values


_seen: set[int] = set()


def fail_odd_once(value: int) -> int:
    """Fail when an odd number comes for the first time."""
    if value % 2 and value not in _seen:
        _seen.add(value)
        raise ValueError(value)
    return value


def _note_time(folder: str, name: str) -> None:
    path = Path(folder) / name
    path.with_suffix(".part").write_text(str(time.monotonic()))
    path.with_suffix(".part").rename(path)


def until_stopped(folder: str, how: str) -> None:
    """Run until an exception ends this; note when it began and when it was stopped."""
    _note_time(folder, "begun")
    try:
        while how == "loops":
            pass
        time.sleep(600)
    finally:
        _note_time(folder, "stopped")


async def until_cancelled(folder: str, how: str) -> None:
    """The same as a task."""
    _note_time(folder, "begun")
    try:
        await asyncio.sleep(600)
    finally:
        _note_time(folder, "stopped")
