"""NumPy arrays of 1 MiB, there and back."""

from __future__ import annotations

import time

from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

COUNT = 200
FLOATS = 2**17


def measure(peer: str, quick: bool) -> Measured:
    """MiB a second; arrays differ, so that nobody can send one for all."""
    import numpy as np

    arrays = [np.full(FLOATS, float(n)) for n in range(COUNT)]
    with pools.open_pool(peer, inputs.noop) as pool:
        pool.map(arrays[:8])
        processes = tree()
        samples: list[float] = []
        cpu = cpu_seconds(processes)
        for _ in range(1 if quick else 3):
            started = time.perf_counter()
            results = pool.map(arrays)
            samples.append(time.perf_counter() - started)
            if [result[-1] for result in results] != [float(n) for n in range(COUNT)]:
                raise AssertionError(f"{peer} returned other arrays")
            del results
        cpu = cpu_seconds(processes) - cpu
    seconds = sorted(samples)[len(samples) // 2]
    return {"rate": COUNT / seconds, "cpu": cpu / COUNT / len(samples) * 1e3}


def tables(results: Results) -> list[Table]:
    """MiB of results a second."""
    rows = results.rows(pools.ALL, "rate", "CPU {cpu:.2f} ms an array")
    goals = [Goal("must", 1.0, pools.LOKY), Goal("aim", 3.0, pools.LOKY)]
    return [Table(f"{COUNT} × 1 MiB NumPy echo", "MiB/s", "higher", rows, goals)]


WORK = Work("echo", pools.ALL, measure, tables)
