"""A pool of two with nothing to do: its memory and its CPU time."""

from __future__ import annotations

import time

from benchmarks import inputs, pools
from benchmarks.processes import MIB, cpu_seconds, pss
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

WHOLE = "modalnb with engine"
#: Those whose rest is looked at, not only their memory.
WATCHED = (pools.MODALNB, pools.DASK)
PEERS = (pools.MODALNB, pools.EXECUTOR, pools.LOKY, pools.DASK)


def measure(peer: str, quick: bool) -> Measured:
    """Memory after a few inputs, then CPU time over ten seconds of rest."""
    seconds = (5.0 if quick else 10.0) if peer in WATCHED else 0.1
    with pools.open_pool(peer, inputs.noop) as pool:
        pool.map(range(100))
        time.sleep(1.0)
        containers, others = pool.containers(), pool.others()
        measured = {"memory": pss(containers) / MIB, "others": pss(others) / MIB}
        measured["whole"] = measured["memory"] + measured["others"]
        marks = cpu_seconds(containers), cpu_seconds(others)
        time.sleep(seconds)
        used = cpu_seconds(containers) - marks[0], cpu_seconds(others) - marks[1]
    count = max(1, len(containers))
    return measured | {
        "count": count,
        "cpu": 100 * used[0] / seconds / count,
        "cpu_whole": 100 * sum(used) / seconds,
    }


def _whole(results: Results) -> tuple[float | None, str]:
    others = results.get(pools.MODALNB, "others")
    if others is None:
        return None, results.failures.get(pools.MODALNB, "")
    return results.get(pools.MODALNB, "whole"), f"{others:.0f} in engine and zygote"


def tables(results: Results) -> list[Table]:
    """All children, helpers too; Dask's scheduler is in the process of its caller."""
    rows = results.rows(PEERS, "whole", "{memory:.0f} in {count:.0f} workers, {others:.0f} beside")
    rows[0] = Row("modalnb's containers", results.get(pools.MODALNB, "memory"))
    rows.insert(0, Row(WHOLE, *_whole(results)))
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
