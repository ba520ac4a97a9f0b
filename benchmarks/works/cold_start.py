"""From nothing running to the first result, without the time of importing the library."""

from __future__ import annotations

import importlib
import time

from benchmarks import inputs, pools
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

MODULES = {
    pools.MODALNB: "modalnb.api.app",
    pools.EXECUTOR: "concurrent.futures.process",
    pools.MP_POOL: "multiprocessing.pool",
    pools.LOKY: "loky",
    pools.JOBLIB: "joblib",
    pools.DASK: "distributed",
}


def measure(peer: str, quick: bool) -> Measured:
    """This process is fresh: nothing of the peer is imported or running."""
    options = {"workers": 1, "wait": False} if peer == pools.MODALNB else {}
    begun = time.perf_counter()
    importlib.import_module(MODULES[peer])
    imported = time.perf_counter()
    with pools.open_pool(peer, inputs.noop, **options) as pool:
        pool.call(1)
        done = time.perf_counter()
    return {"seconds": done - imported, "whole": done - begun}


def tables(results: Results) -> list[Table]:
    """With the import beside it, which modalnb puts off and Dask does not."""
    rows = results.rows(pools.ALL, "seconds", "{whole:.2f} s with the import")
    goals = [Goal("must", 2.0, pools.DASK), Goal("aim", 1.0, pools.DASK)]
    return [Table("import done → first result, nothing running", "s", "lower", rows, goals)]


WORK = Work("cold_start", pools.ALL, measure, tables, rounds=5, quick_rounds=1)
