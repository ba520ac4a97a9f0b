"""Inputs of one millisecond on two processes, against two processes that nobody has to feed.

A `time.sleep(0.001)` takes 1.05 to 1.15 ms, depending on the machine, and cores may be busy with
other things; that is no fault of whoever hands out the inputs, so the ideal is measured too.
"""

from __future__ import annotations

import time

from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

#: Two processes that do half of the work each, in one input: what the machine allows.
CEILING = "nobody hands out"
VARIANTS = {
    "sleep": (inputs.sleep_1ms, inputs.sleep_many),
    "burn": (inputs.burn_1ms, inputs.burn_many),
}


def measure(peer: str, quick: bool) -> Measured:
    """The share of the ideal rate, sleeping and computing."""
    count = 400 if peer == pools.DASK else 1_000 if quick else 2_000
    ideal = count * 0.001 / pools.WORKERS
    measured: Measured = {}
    for name, (single, many) in VARIANTS.items():
        is_ceiling = peer == CEILING
        values = [count // pools.WORKERS] * pools.WORKERS if is_ceiling else range(count)
        with pools.open_pool(
            pools.EXECUTOR if is_ceiling else peer, many if is_ceiling else single
        ) as pool:
            pool.map([1, 1] if is_ceiling else range(100))
            processes = tree()
            cpu, started = cpu_seconds(processes), time.perf_counter()
            pool.map(values)
            measured[name] = ideal / (time.perf_counter() - started)
            measured[f"{name}_cpu"] = (cpu_seconds(processes) - cpu) / count * 1e6
    return measured


def _row(results: Results, peer: str, name: str) -> Row:
    rate, ceiling = results.get(peer, name), results.get(CEILING, name)
    if rate is None or ceiling is None:
        return Row(peer, None, results.failures.get(peer, ""))
    cpu = results.get(peer, f"{name}_cpu")
    return Row(peer, rate / ceiling, f"{rate:.2f} of 2 inputs a ms, {cpu:.0f} µs of CPU each")


def tables(results: Results) -> list[Table]:
    """One table for free cores, one for cores that the inputs fill."""
    goals = [Goal("must", 0.88), Goal("aim", 0.95)]
    peers = (*pools.ALL, CEILING)
    return [
        Table(
            f"inputs of 1 ms, {title}",
            "of ideal",
            "higher",
            [_row(results, peer, name) for peer in peers],
            goals,
        )
        for name, title in (("sleep", "asleep"), ("burn", "computing on both cores"))
    ]


WORK = Work("efficiency", (*pools.ALL, CEILING), measure, tables, rounds=2)
