"""Inputs of one millisecond on two processes, against half the sum of the milliseconds."""

from __future__ import annotations

import time

from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

#: Two processes that do half of the work each, in one input: what the machine allows.
CEILING = "nobody hands out"
VARIANTS = {
    "sleep": (inputs.sleep_1ms, inputs.sleep_many),
    "burn": (inputs.burn_1ms, inputs.burn_many),
}


def measure(peer: str, quick: bool) -> Measured:
    """The share of the ideal rate, sleeping and computing."""
    count = 1_000 if quick else 2_000
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


def tables(results: Results) -> list[Table]:
    """One table for free cores, one for cores that the inputs fill."""
    goals = [Goal("must", 0.88), Goal("aim", 0.95)]
    peers = (*pools.ALL, CEILING)
    return [
        Table(
            f"inputs of 1 ms, {title}",
            "of ideal",
            "higher",
            results.rows(peers, name, f"CPU {{{name}_cpu:.0f}} µs an input"),
            goals,
        )
        for name, title in (("sleep", "asleep"), ("burn", "computing on both cores"))
    ]


WORK = Work("efficiency", (*pools.ALL, CEILING), measure, tables)
