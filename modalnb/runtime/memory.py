"""How much memory a process uses, with all that it started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import psutil

MIB = 2**20


def used_bytes(pid: int) -> int:
    """Resident memory of a process and of all that it started; 0 if it is gone.

    Where there are several, pages that they share are counted once.
    """
    family = list(_family(pid))
    if len(family) == 1:
        return _resident(pid)
    return sum(_proportional(member) for member in family)


def story(used: int, limit: int) -> str:
    """What is told of a container that used more bytes than its limit in MiB."""
    return f"used {used // MIB:,} MiB, more than its memory limit of {limit:,} MiB"


def kill_family(pid: int) -> None:
    """End a process with all that it started, itself last."""
    for member in reversed(list(_family(pid))):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in _children(pid):
        yield from _family(child)


def _children(pid: int) -> list[int]:
    try:
        children: list[int] = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                children += map(int, file.read().split())
        return children
    except FileNotFoundError:
        # Not Linux, or a thread or the whole process has just ended.
        pass
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
    except (OSError, StopIteration):
        return _resident(pid)
