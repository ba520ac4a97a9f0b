"""How soon what runs is stopped after its caller has cancelled it, and its slot is free."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import inputs, pools
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

CALL = "a warm call, beside it"
KINDS: dict[str, tuple[Any, str]] = {
    "a task": (inputs.until_cancelled, "waits"),
    "a plain function that sleeps": (inputs.until_stopped, "sleeps"),
    "a plain function that loops": (inputs.until_stopped, "loops"),
}
QUEUED = 10_000
PENDING = f"{QUEUED:,} that wait"
PEERS = (*KINDS, PENDING, CALL)
PLAIN = "a plain function that sleeps"


def measure(peer: str, quick: bool) -> Measured:
    """Milliseconds from the cancellation to its effect."""
    rounds = 5 if quick else 20
    if peer == CALL:
        return _calls(rounds)
    if peer == PENDING:
        return _pending()
    function, how = KINDS[peer]
    with pools.open_pool(pools.MODALNB, function, workers=1) as pool:
        samples = [_one(pool, how) for _ in range(rounds)]
    stopped, freed = (statistics.median(values) for values in zip(*samples, strict=True))
    return {"stopped": stopped * 1e3, "freed": freed * 1e3}


def _one(pool: pools.Modalnb, how: str) -> tuple[float, float]:
    """When the user's code was stopped, and when the next input began in the same container."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        running = pool.function.spawn(first, how)
        _wait_for(Path(first) / "begun")
        waiting = pool.function.spawn(second, how)
        time.sleep(0.05)
        cancelled = time.monotonic()
        running.cancel()
        freed = _wait_for(Path(second) / "begun") - cancelled
        stopped = _wait_for(Path(first) / "stopped") - cancelled
        waiting.cancel()
        _wait_for(Path(second) / "stopped")
    return stopped, freed


def _wait_for(file: Path) -> float:
    deadline = time.monotonic() + 30
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{file.name} did not happen")
        time.sleep(0.001)
    return float(file.read_text())


def _calls(rounds: int) -> Measured:
    with pools.open_pool(pools.MODALNB, inputs.noop, workers=1) as pool:
        pool.map(range(20))
        seconds = []
        for n in range(10 * rounds):
            started = time.perf_counter()
            pool.call(n)
            seconds.append(time.perf_counter() - started)
    middle = statistics.median(seconds) * 1e3
    return {"stopped": middle, "freed": middle}


def _pending() -> Measured:
    """From the cancellation of a queue to the moment at which nothing waits any more."""
    with (
        pools.open_pool(pools.MODALNB, inputs.gate, workers=1) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = Path(folder) / "open"
        busy = pool.function.spawn(str(path))
        queued = pool.function.spawn_map([None] * QUEUED)
        started = time.perf_counter()
        queued.cancel()
        while pool.function.snapshot().pending:
            time.sleep(0.001)
        seconds = time.perf_counter() - started
        path.touch()
        busy.get()
    return {"stopped": seconds * 1e3, "freed": seconds * 1e3}


def tables(results: Results) -> list[Table]:
    """A cancellation is a message there, and an exception in the user's code."""
    rows = results.rows(PEERS, "stopped", "{freed:.1f} ms until the next input runs")
    goals = [Goal("aim", 2.0, CALL)]
    return [Table("cancel → stopped", "ms", "lower", rows, goals, ours=PLAIN)]


WORK = Work("cancelling", PEERS, measure, tables, rounds=1)
