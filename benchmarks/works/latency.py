"""A single warm call, there and back."""

from __future__ import annotations

import statistics
import time

from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

#: A Ray actor took 1.0 ms where ProcessPoolExecutor took 0.25 ms; Ray is too large to install
#: for this, so its place is estimated from the executor in the same run.
RAY_ACTOR = "Ray actor (4 × executor)"
RAY_FACTOR = 4.0
#: Ten milliseconds a call: fewer of them say as much.
SLOW = (pools.JOBLIB, pools.DASK)


def measure(peer: str, quick: bool) -> Measured:
    """Median and 99th percentile of back-to-back calls, and CPU time of all processes."""
    count = 100 if peer in SLOW else 200 if quick else 500
    with pools.open_pool(peer, inputs.noop) as pool:
        for n in range(20):
            pool.call(n)
        processes = tree()
        cpu, seconds = cpu_seconds(processes), []
        for n in range(count):
            started = time.perf_counter()
            pool.call(n)
            seconds.append(time.perf_counter() - started)
        cpu = cpu_seconds(processes) - cpu
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3, "cpu": cpu / count * 1e6}


def tables(results: Results) -> list[Table]:
    """The median with the tail beside it."""
    rows = results.rows(pools.ALL, "p50", "p99 {p99:.2f} ms, CPU {cpu:.0f} µs a call")
    executor = results.get(pools.EXECUTOR, "p50")
    if executor is not None:
        rows.append(Row(RAY_ACTOR, RAY_FACTOR * executor, "estimated"))
    goals = [Goal("must", 1.0, RAY_ACTOR), Goal("aim", 0.6, RAY_ACTOR)]
    return [Table("single warm call, p50", "ms", "lower", rows, goals)]


WORK = Work("latency", pools.ALL, measure, tables)
