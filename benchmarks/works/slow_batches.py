"""Batches that take longer than the wait for them, under a stream of callers that nobody paces.

Whoever seals a batch before there is a slot for it collapses here.  The measure of how well one
can do is a loop in this process that seals as late as possible and has no engine around it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import modalnb
from benchmarks import inputs, pools
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

RATE = 300.0
SIZE = 32
WAIT_MS = 5
LOOP = "a late-sealing loop"
PEERS = (pools.MODALNB, LOOP)


def measure(peer: str, quick: bool) -> Measured:
    """Answers a second, and how long callers wait for theirs."""
    count = 3_000 if quick else 6_000
    if peer == LOOP:
        return asyncio.run(_with_loop(count))
    batched = modalnb.batched(max_batch_size=SIZE, wait_ms=WAIT_MS)
    with pools.open_pool(pools.MODALNB, batched(inputs.slow_model), workers=1) as pool:
        pool.map(range(100))
        return asyncio.run(_arrive(pool.function.remote.aio, count))


async def _with_loop(count: int) -> Measured:
    batcher = LateBatcher()
    server = asyncio.create_task(batcher.serve())
    measured = await _arrive(batcher.call, count)
    server.cancel()
    return measured


async def _arrive(call: Callable[[Any], Awaitable[Any]], count: int) -> Measured:
    """Callers that come at random, each by itself; the same ones for every peer."""
    chance = random.Random(8)
    waits: list[float] = []

    async def one(n: int) -> None:
        began = time.perf_counter()
        if await call(n) != n:
            raise AssertionError("another result came back")
        waits.append(time.perf_counter() - began)

    started = due = time.perf_counter()
    tasks = []
    for n in range(count):
        due += chance.expovariate(RATE)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(n)))
    await asyncio.gather(*tasks)
    seconds = time.perf_counter() - started
    cuts = statistics.quantiles(waits, n=100)
    return {
        "rate": count / seconds,
        "offered": count / (due - started),
        "p50": cuts[49] * 1e3,
        "p99": cuts[98] * 1e3,
    }


class LateBatcher:
    """One slot; what waits becomes a batch when the slot is free, and not before."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, Any, asyncio.Future[Any]]] = []
        self._changed = asyncio.Event()

    async def call(self, value: Any) -> Any:
        """One input, as a caller sees it."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((time.perf_counter(), value, answer))
        self._changed.set()
        return await answer

    async def serve(self) -> None:
        """Run batches for ever."""
        while True:
            while not self._waiting:
                self._changed.clear()
                await self._changed.wait()
            left = self._waiting[0][0] + WAIT_MS / 1000 - time.perf_counter()
            if len(self._waiting) < SIZE and left > 0:
                await asyncio.sleep(left)
            batch, self._waiting = self._waiting[:SIZE], self._waiting[SIZE:]
            values = await inputs.slow_model([value for _, value, _ in batch])
            for (_, _, answer), value in zip(batch, values, strict=True):
                answer.set_result(value)


def tables(results: Results) -> list[Table]:
    """Answers, then waits."""
    title = f"slow batches: {RATE:.0f} callers a second, 50 ms a batch of {SIZE}, wait {WAIT_MS} ms"
    rate = results.rows(PEERS, "rate", "of {offered:.1f} offered")
    waits = results.rows(PEERS, "p50", "p99 {p99:.0f} ms")
    goals = [Goal("must", 1.15, LOOP), Goal("aim", 1.05, LOOP)]
    return [
        Table(title, "1/s", "higher", rate, [Goal("must", 290.0)]),
        Table(f"{title}: wait for an answer, p50", "ms", "lower", waits, goals),
    ]


WORK = Work("slow_batches", PEERS, measure, tables, rounds=2)
