"""What an input costs the engine when many others are queued before and behind it."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

DEPTHS = (100, 1_000, 10_000, 100_000)
#: Inputs that are run at each depth; calls take turns, so as many queued ones run with them.
COUNT = 4_000
ROW = "costliest depth / cheapest"


def measure(peer: str, quick: bool) -> Measured:
    """CPU time of the engine, and time on the clock, for an input at each depth."""
    measured: Measured = {}
    with pools.open_pool(pools.MODALNB, inputs.gate) as pool:
        pool.map([None] * 2_000)
        samples = [[_at_depth(pool, depth) for depth in DEPTHS] for _ in range(2 if quick else 3)]
    for depth, pairs in zip(DEPTHS, zip(*samples, strict=True), strict=True):
        measured[f"cpu{depth}"] = statistics.median(cpu for cpu, _ in pairs) * 1e6
        measured[f"wall{depth}"] = statistics.median(wall for _, wall in pairs) * 1e6
    return measured


def _at_depth(pool: pools.Modalnb, depth: int) -> tuple[float, float]:
    function = pool.function
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "open"
        # Both containers wait at the gate until the queue is as deep as it shall be.
        busy = function.spawn_map([str(gate)] * pools.WORKERS)
        queued = function.spawn_map([None] * depth)
        done, cpu = function.snapshot().done, cpu_seconds([pool.engine])
        gate.touch()
        started = time.perf_counter()
        for _ in function.map([None] * COUNT):
            pass
        seconds = time.perf_counter() - started
        cpu = cpu_seconds([pool.engine]) - cpu
        count = function.snapshot().done - done
        queued.cancel()
        list(busy.iter())
    return cpu / count, seconds / count


def tables(results: Results) -> list[Table]:
    """The spread of the CPU time; the times on the clock are beside it."""
    cpu = {depth: results.get(pools.MODALNB, f"cpu{depth}") for depth in DEPTHS}
    wall = {depth: results.get(pools.MODALNB, f"wall{depth}") for depth in DEPTHS}
    known = [value for value in cpu.values() if value is not None]
    spread = max(known) / min(known) if known else None
    rows = [Row(ROW, spread, results.failures.get(pools.MODALNB, ""))]
    remarks = [
        f"{depth:>7,} queued: {cpu[depth]:.1f} µs of the engine's CPU, {wall[depth]:.1f} µs"
        for depth in DEPTHS
        if cpu[depth] is not None and wall[depth] is not None
    ]
    goals = [Goal("must", 1.5), Goal("aim", 1.2)]
    title = "cost per input from 10² to 10⁵ queued"
    return [Table(title, "×", "lower", rows, goals, ours=ROW, remarks=remarks)]


WORK = Work("queue_cost", (pools.MODALNB,), measure, tables, rounds=2)
