"""Importing modalnb, against importing distributed."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

STATEMENTS = {
    "modalnb": "import modalnb",
    "modalnb.App": "from modalnb import App",
    "distributed": "import distributed",
    "concurrent.futures": "from concurrent.futures import ProcessPoolExecutor",
}
TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def measure(peer: str, quick: bool) -> Measured:
    """Seconds of the statement in an interpreter that has just started."""
    samples = []
    for _ in range(3 if quick else 7):
        done = subprocess.run(
            [sys.executable, "-c", TIMED.format(STATEMENTS[peer])], capture_output=True, check=True
        )
        samples.append(float(done.stdout))
    return {"ms": sorted(samples)[len(samples) // 2] * 1000}


def tables(results: Results) -> list[Table]:
    """Both forms: the module is lazy, so `App` is where the work is."""
    rows = results.rows(tuple(STATEMENTS), "ms")
    goal = [Goal("must", 0.3, "distributed")]
    return [
        Table("import", "ms", "lower", rows, goal),
        Table("import with App", "ms", "lower", rows, goal, ours="modalnb.App"),
    ]


WORK = Work("import_time", tuple(STATEMENTS), measure, tables, rounds=1)
