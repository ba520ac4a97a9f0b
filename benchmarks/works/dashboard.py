"""What a dashboard takes of its kernel, at rest and with much to show, and when a slider acts."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.kernels import Kernel
from benchmarks.processes import cpu_seconds
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

WITH = "modalnb"
WITHOUT = "the same kernel without"
CONTAINERS = 100
MOVES = 6

PRELUDE = f"""
import modalnb as modal, time
app = modal.App("benchmark")

@app.function(min_containers={CONTAINERS}, max_containers={CONTAINERS}, cpu=0.01)
def nap(seconds):
    import time
    time.sleep(seconds)

nap.hydrate()
while nap.snapshot().count("idle") < {CONTAINERS}:
    time.sleep(0.2)
"""
#: Each container takes another input every few seconds, and nobody waits for the outputs.
LOAD = f"""
import random
call = nap.spawn_map([1 + 2 * random.random() for _ in range({CONTAINERS * 40})])
"""
BUSY = "time.sleep(8)"


def measure(peer: str, quick: bool) -> Measured:
    """Percent of a core that the kernel takes; seconds from a slider's move to the news of it."""
    seconds = 8.0 if quick else 20.0
    kernel = Kernel()
    try:
        kernel.run(PRELUDE)
        if peer == WITH:
            _show(kernel)
        kernel.listen(5.0)
        measured = {"rest": _percent(kernel, seconds)[0]}
        if peer == WITH:
            measured |= _moves(kernel)
        kernel.run(LOAD)
        kernel.listen(2.0)
        measured["load"], measured["rate"] = _percent(kernel, seconds)
        return measured
    finally:
        kernel.close()


def _show(kernel: Kernel) -> None:
    kernel.run("app.dashboard()")
    kernel.listen(2.0)
    kernel.send("AnyModel", 0, {"method": "custom", "content": {"kind": "hello"}})
    kernel.listen(10.0, lambda data: data.get("content", {}).get("kind") == "state")


def _percent(kernel: Kernel, seconds: float) -> tuple[float, float]:
    mark = cpu_seconds([kernel.process])
    count = kernel.listen(seconds)
    return 100 * (cpu_seconds([kernel.process]) - mark) / seconds, count / seconds


def _moves(kernel: Kernel) -> Measured:
    """A slider moved again and again while a cell is busy."""
    kernel.begin(BUSY)
    kernel.listen(1.0)
    took = []
    for move in range(MOVES):
        started = time.monotonic()
        state = {"value": 1 + move}
        update = {"method": "update", "state": state, "buffer_paths": []}
        kernel.send("IntSliderModel", 2, update)
        kernel.listen(10.0, lambda data, move=move: _tells(data, f"→ {1 + move}"))
        took.append(time.monotonic() - started)
        kernel.listen(0.2)
    kernel.run("")
    return {"move": statistics.median(took), "slowest": max(took)}


def _tells(data: dict[str, Any], words: str) -> bool:
    pools = data.get("content", {}).get("pools", [])
    return any(mark["text"].endswith(words) for pool in pools for mark in pool.get("marks", []))


def tables(results: Results) -> list[Table]:
    """At rest, with news all the time, and the slider."""
    rest = results.rows((WITH, WITHOUT), "rest")
    load = results.rows((WITH, WITHOUT), "load", "{rate:.1f} messages/s")
    slowest = results.get(WITH, "slowest")
    note = "" if slowest is None else f"slowest {slowest:.2f} s"
    move = [Row(WITH, results.get(WITH, "move"), results.failures.get(WITH) or note)]
    unit = "% of a core"
    return [
        Table(
            f"kernel that shows {CONTAINERS} idle containers",
            unit,
            "lower",
            rest,
            [Goal("must", 1.0)],
        ),
        Table(
            f"kernel that shows {CONTAINERS} containers at work",
            unit,
            "lower",
            load,
            [Goal("must", 5.0)],
        ),
        Table("slider moved during a busy cell", "s", "lower", move, [Goal("must", 0.3)]),
    ]


WORK = Work("dashboard", (WITH, WITHOUT), measure, tables, rounds=2)
