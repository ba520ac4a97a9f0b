"""Memory of inputs that wait."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil

from benchmarks import inputs, pools
from benchmarks.processes import rss
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

COUNT = 100_000
#: Dask tasks take ten times the memory and a multiple of the time.
FEWER = {pools.DASK: 10_000}
PEERS = (pools.MODALNB, pools.DASK)


def measure(peer: str, quick: bool) -> Measured:
    """Growth of the engine, or of the process with Dask's scheduler, for each waiting input."""
    count = FEWER.get(peer, COUNT)
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "open"
        with pools.open_pool(peer, inputs.gate, workers=1) as pool:
            keeper = pool.engine if peer == pools.MODALNB else psutil.Process()
            pool.hand_in([None] * 1_000)()
            pool.hand_in([str(gate)])
            before, own = rss(keeper), rss(psutil.Process())
            waiting = pool.hand_in([None] * count)
            grown = rss(keeper) - before
            own = rss(psutil.Process()) - own
            gate.touch()
            del waiting
    return {"bytes": grown / count, "own": own / count}


def tables(results: Results) -> list[Table]:
    """Bytes an input; what the caller keeps is beside it."""
    rows = results.rows(PEERS, "bytes", "the caller grew by {own:.0f} B an input")
    title = f"pending inputs, {COUNT:,} queued"
    return [Table(title, "B each", "lower", rows, [Goal("must", 300)])]


WORK = Work("pending", PEERS, measure, tables, rounds=1)
