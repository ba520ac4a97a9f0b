"""What processes use: CPU time as finely as the system tells it, and memory of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

MIB = 2**20


def tree(root: psutil.Process | None = None) -> list[psutil.Process]:
    """A process, this one by default, and all that descend from it."""
    root = root or psutil.Process()
    return [root, *root.children(recursive=True)]


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of processes, without that of threads that have ended."""
    return sum(_cpu_of(process) for process in processes)


def _cpu_of(process: psutil.Process) -> float:
    try:
        stats = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
        return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9 if stats else 0.0
    except (OSError, IndexError, ValueError):
        pass
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def pss(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory, with shared pages counted in part by each process that shares them."""
    return sum(_pss_of(process) for process in processes)


def _pss_of(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def rss(process: psutil.Process) -> int:
    """Resident bytes of one process."""
    return int(process.memory_info().rss)
