"""Many no-ops, in order, each an input of its own."""

from __future__ import annotations

import time

from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

COUNT = 10_000
#: Dask would take most of a minute for all of them; its rate is the same for fewer.
FEWER = {pools.DASK: 1_000, pools.JOBLIB: 3_000}


def measure(peer: str, quick: bool) -> Measured:
    """Inputs a second of the median run, and CPU time of all processes for an input."""
    count = FEWER.get(peer, COUNT)
    samples: list[float] = []
    with pools.open_pool(peer, inputs.noop) as pool:
        pool.map(range(200))
        processes = tree()
        cpu = cpu_seconds(processes)
        for _ in range(1 if peer in FEWER or quick else 3):
            started = time.perf_counter()
            results = pool.map(range(count))
            samples.append(time.perf_counter() - started)
            if results != list(range(count)):
                raise AssertionError(f"{peer} returned other results")
        cpu = cpu_seconds(processes) - cpu
    seconds = sorted(samples)[len(samples) // 2]
    return {"rate": count / seconds / 1000, "cpu": cpu / count / len(samples) * 1e6}


def tables(results: Results) -> list[Table]:
    """Thousands of inputs a second."""
    rows = results.rows(pools.ALL, "rate", "CPU {cpu:.0f} µs an input")
    goals = [Goal("must", 1.5, pools.EXECUTOR), Goal("aim", 1.0, pools.MP_POOL)]
    return [Table(f"{COUNT:,} no-ops, ordered", "k/s", "higher", rows, goals)]


WORK = Work("throughput", pools.ALL, measure, tables)
