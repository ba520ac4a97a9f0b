"""A pool of two with nothing to do: its memory and its CPU time."""

from __future__ import annotations

import time

from benchmarks import inputs, pools
from benchmarks.processes import MIB, cpu_seconds, pss
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

WHOLE = "modalnb with engine"
PEERS = (pools.MODALNB, pools.EXECUTOR, pools.LOKY, pools.DASK)


def measure(peer: str, quick: bool) -> Measured:
    """Memory after a few inputs, then CPU time over ten seconds of rest."""
    seconds = 5.0 if quick else 10.0
    with pools.open_pool(peer, inputs.noop) as pool:
        pool.map(range(100))
        time.sleep(2.0)
        containers, others = pool.containers(), pool.others()
        measured = {"memory": pss(containers) / MIB, "others": pss(others) / MIB}
        marks = cpu_seconds(containers), cpu_seconds(others)
        time.sleep(seconds)
        used = cpu_seconds(containers) - marks[0], cpu_seconds(others) - marks[1]
    count = max(1, len(containers))
    return measured | {
        "count": count,
        "cpu": 100 * used[0] / seconds / count,
        "cpu_whole": 100 * sum(used) / seconds,
    }


def tables(results: Results) -> list[Table]:
    """Children of the peers; engine and zygote of modalnb in a row of their own."""
    note = "{count:.0f} processes, {others:.0f} MiB more in helpers"
    rows = results.rows(PEERS, "memory", note)
    each, others = results.get(pools.MODALNB, "memory"), results.get(pools.MODALNB, "others")
    whole = each + others if each is not None and others is not None else None
    rows.insert(1, Row(WHOLE, whole, "containers, zygote and engine"))
    goals = [Goal("must", 1.0, pools.DASK), Goal("aim", 0.7, pools.DASK)]
    cpu = results.rows((pools.MODALNB, pools.DASK), "cpu", "{cpu_whole:.2f} % in all")
    all_cpu = [Row(pools.MODALNB, results.get(pools.MODALNB, "cpu_whole"))]
    return [
        Table("memory of an idle pool of 2", "MiB", "lower", rows, goals, ours=WHOLE),
        Table(
            "idle CPU per container",
            "% of a core",
            "lower",
            cpu,
            [Goal("must", 0.5), Goal("aim", 0.15)],
        ),
        Table(
            "idle CPU of engine, zygote and 2 containers",
            "% of a core",
            "lower",
            all_cpu,
            [Goal("must", 3.0)],
        ),
    ]


WORK = Work("idle", PEERS, measure, tables, rounds=1)
