"""One more container: from the request to its first result."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import inputs, pools
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

SPARE = "modalnb, with a spare"


def measure(peer: str, quick: bool) -> Measured:
    """One process is busy and an input waits; the time runs from the request for a second."""
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "open"
        try:
            if peer == pools.DASK:
                return {"seconds": _dask(str(gate), gate.touch)}
            return {"seconds": _modalnb(str(gate), gate.touch, spare=peer == SPARE)}
        finally:
            gate.touch()


def _dask(gate: str, release: Callable[[], Any]) -> float:
    with pools.open_pool(pools.DASK, inputs.gate_pid, workers=1) as pool:
        busy = pool.hand_in([gate])
        waiting = pool.hand_in([None])
        time.sleep(0.5)
        started = time.perf_counter()
        pool.cluster.scale(2)
        second = waiting()[0]
        seconds = time.perf_counter() - started
        release()
        _check(busy()[0], second)
    return seconds


def _modalnb(gate: str, release: Callable[[], Any], *, spare: bool) -> float:
    os.environ["MODALNB_SPARE"] = str(int(spare))
    with pools.open_pool(pools.MODALNB, inputs.gate_pid, workers=1) as pool:
        function = pool.function
        busy, waiting = function.spawn(gate), function.spawn(None)
        # The spare process starts after the first container.
        time.sleep(1.5 if spare else 0.5)
        started = time.perf_counter()
        function.update_autoscaler(max_containers=2)
        second = waiting.get()
        seconds = time.perf_counter() - started
        release()
        _check(busy.get(), second)
    return seconds


def _check(first: int, second: int) -> None:
    if first == second:
        raise AssertionError("the result came from the process that was there before")


def tables(results: Results) -> list[Table]:
    """The spare has an aim of its own."""
    rows: list[Row] = results.rows((pools.MODALNB, SPARE, pools.DASK), "seconds")
    goals = [Goal("must", 0.25, pools.DASK), Goal("aim", 0.1, pools.DASK)]
    with_spare = [Goal("aim", 0.02, pools.DASK)]
    title = "one more container, request → first result"
    return [
        Table(title, "s", "lower", rows, goals),
        Table(f"{title}, with a spare", "s", "lower", rows, with_spare, ours=SPARE),
    ]


WORK = Work("one_more", (pools.MODALNB, SPARE, pools.DASK), measure, tables)
