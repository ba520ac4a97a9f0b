"""Ten thousand inputs of which half fail once: what a failure and another attempt cost."""

from __future__ import annotations

import time

import modalnb
from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

COUNT = 10_000
STORM = "half fail once"
PLAIN = "nothing fails"
DELAY = 0.1


def measure(peer: str, quick: bool) -> Measured:
    """Seconds for all in one container, and CPU time of all processes."""
    is_storm = peer == STORM
    retries = modalnb.Retries(max_retries=1, initial_delay=DELAY, backoff_coefficient=1.0)
    function = inputs.fail_odd_once if is_storm else inputs.noop
    with pools.open_pool(pools.MODALNB, function, workers=1, retries=retries) as pool:
        pool.map(range(0, 400, 2))
        processes = tree()
        cpu, started = cpu_seconds(processes), time.perf_counter()
        results = pool.hand_in(range(COUNT))()
        seconds = time.perf_counter() - started
        cpu = cpu_seconds(processes) - cpu
    if results != list(range(COUNT)):
        raise AssertionError("other results came back")
    attempts = COUNT * 3 // 2 if is_storm else COUNT
    return {"rate": attempts / seconds / 1000, "seconds": seconds, "cpu": cpu / attempts * 1e6}


def tables(results: Results) -> list[Table]:
    """Attempts a second; those that fail carry an exception with its traceback."""
    rows: list[Row] = results.rows(
        (STORM, PLAIN), "rate", "{seconds:.2f} s in all, CPU {cpu:.0f} µs an attempt"
    )
    title = f"{COUNT:,} inputs, half fail once, tried again {DELAY * 1000:.0f} ms later"
    return [Table(title, "k/s", "higher", rows, [Goal("aim", 0.5, PLAIN)], ours=STORM)]


WORK = Work("retry_storm", (STORM, PLAIN), measure, tables)
