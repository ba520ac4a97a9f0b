"""Inputs that only wait, many at a time in one container, against an event loop of its own.

The loop runs the same coroutines with the same bound and no engine around them: that is all that
anybody could reach.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import modalnb
from benchmarks import inputs, pools
from benchmarks.processes import cpu_seconds, tree
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

COUNT = 1_000
AT_ONCE = 100
IDEAL = "an event loop by itself"
THREADS = "modalnb, plain function on threads"
POOL = "ThreadPoolExecutor"
PEERS = (pools.MODALNB, THREADS, POOL, IDEAL)


def measure(peer: str, quick: bool) -> Measured:
    """Seconds for all of them; the best of a few, since they should take no time of the cores."""
    if peer in (POOL, IDEAL):
        run = _threads if peer == POOL else _loop
        return {"seconds": min(run() for _ in range(3))}
    function = inputs.wait_50ms if peer == pools.MODALNB else inputs.sleep_50ms
    concurrent = modalnb.concurrent(max_inputs=AT_ONCE)
    with pools.open_pool(pools.MODALNB, concurrent(function), workers=1) as pool:
        pool.map(range(AT_ONCE))
        processes, samples = tree(), []
        cpu = cpu_seconds(processes)
        for _ in range(1 if quick else 3):
            started = time.perf_counter()
            results = pool.map(range(COUNT))
            samples.append(time.perf_counter() - started)
            if results != list(range(COUNT)):
                raise AssertionError("other results came back")
        cpu = cpu_seconds(processes) - cpu
    return {"seconds": min(samples), "cpu": cpu / COUNT / len(samples) * 1e6}


def _loop() -> float:
    async def run() -> float:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(n: int) -> int:
            async with slots:
                return int(await inputs.wait_50ms(n))

        started = time.perf_counter()
        await asyncio.gather(*map(one, range(COUNT)))
        return time.perf_counter() - started

    return asyncio.run(run())


def _threads() -> float:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = time.perf_counter()
        list(pool.map(inputs.sleep_50ms, range(COUNT)))
        return time.perf_counter() - started


def tables(results: Results) -> list[Table]:
    """The share of the ideal rate."""
    ideal = results.get(IDEAL, "seconds")
    rows = []
    for peer in PEERS:
        seconds, cpu = results.get(peer, "seconds"), results.get(peer, "cpu")
        note = "" if seconds is None else f"{seconds:.3f} s"
        note += "" if cpu is None else f", CPU {cpu:.0f} µs an input"
        share = ideal / seconds if ideal and seconds else None
        rows.append(Row(peer, share, results.failures.get(peer, note)))
    title = f"{COUNT:,} waits of 50 ms, {AT_ONCE} at a time in one container"
    return [Table(title, "of ideal", "higher", rows, [Goal("must", 0.92), Goal("aim", 0.97)])]


WORK = Work("waits", PEERS, measure, tables)
