"""Queued work while the caller's process is busy with Python of its own."""

from __future__ import annotations

import statistics
import time

from benchmarks import inputs, pools
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

PEERS = (pools.MODALNB, pools.EXECUTOR, pools.LOKY, pools.DASK)
NAP_MS = 2.0


def measure(peer: str, quick: bool) -> Measured:
    """How much longer the same inputs take beside a loop that never waits."""
    count = 200 if quick else 600
    with pools.open_pool(peer, inputs.nap) as pool:
        pool.map([NAP_MS] * 50)
        pairs = []
        for _ in range(3):
            idle = _seconds(pool, count, 0.0)
            pairs.append((idle, _seconds(pool, count, 3 * idle)))
    idle, busy = (statistics.median(values) for values in zip(*pairs, strict=True))
    return {"slowdown": busy / idle, "idle": idle, "busy": busy}


def _seconds(pool: pools.Pool, count: int, spin: float) -> float:
    """From the first end of an input to the last, by the clock of those who ran them."""
    gather = pool.hand_in([NAP_MS] * count)
    end = time.perf_counter() + spin
    while time.perf_counter() < end:
        sum(range(1_000))
    ended: list[float] = gather()
    return max(ended) - min(ended)


def tables(results: Results) -> list[Table]:
    """1 is no difference; a little above is noise."""
    note = "{idle:.2f} s beside an idle caller, {busy:.2f} s beside a busy one"
    rows = results.rows(PEERS, "slowdown", note)
    goals = [Goal("must", 1.15), Goal("aim", 1.05)]
    return [Table("queued work beside a busy caller", "×", "lower", rows, goals)]


WORK = Work("busy_kernel", PEERS, measure, tables, rounds=1)
