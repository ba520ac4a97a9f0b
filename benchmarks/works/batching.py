"""A model that costs 4 ms a call and 0.05 ms an input: batched, one by one, and by hand."""

from __future__ import annotations

import statistics
import time
from typing import Any

import modalnb
from benchmarks import inputs, pools
from benchmarks.table import Goal, Table
from benchmarks.work import Measured, Results, Work

SIZE = 32
WAIT_MS = 5
ONE_BY_ONE = "modalnb, one by one"
BATCHED = "modalnb, batched"
ADAPTIVE = "modalnb, batched, adaptive"
NO_WAIT = "modalnb, batched, wait_ms=0"
BY_HAND = "a loop over full batches"
KINDS: dict[str, dict[str, Any]] = {
    BATCHED: {"wait_ms": WAIT_MS},
    NO_WAIT: {"wait_ms": 0},
    ADAPTIVE: {"wait_ms": WAIT_MS, "adaptive": True},
}
PEERS = (ONE_BY_ONE, *KINDS, BY_HAND)


def measure(peer: str, quick: bool) -> Measured:
    """Inputs a second under load, and the time that a lone caller waits."""
    if peer == BY_HAND:
        return _by_hand()
    count = 400 if peer == ONE_BY_ONE else 3_200
    function = inputs.model_of_one
    if peer in KINDS:
        function = modalnb.batched(max_batch_size=SIZE, **KINDS[peer])(inputs.model)
    with pools.open_pool(pools.MODALNB, function, workers=1) as pool:
        pool.map(range(200))
        lone = []
        for n in range(30 if quick else 100):
            time.sleep(0.02)
            started = time.perf_counter()
            pool.call(n)
            lone.append(time.perf_counter() - started)
        started = time.perf_counter()
        if pool.map(range(count)) != list(range(count)):
            raise AssertionError("other results came back")
        rate = count / (time.perf_counter() - started)
        sizes = dict(pool.function.snapshot().batch_sizes)
    return {"rate": rate, "lone": statistics.median(lone) * 1e3, "full": sizes.get(SIZE, 0)}


def _by_hand() -> Measured:
    started = time.perf_counter()
    for n in range(100):
        inputs.model(list(range(n, n + SIZE)))
    return {"rate": 100 * SIZE / (time.perf_counter() - started)}


def tables(results: Results) -> list[Table]:
    """Throughput against full batches by hand, and what a lone caller pays for it."""
    rate = results.rows(PEERS, "rate")
    lone = results.rows((ONE_BY_ONE, *KINDS), "lone")
    title = f"4 ms a call + 0.05 ms an input, batches of {SIZE}, one container"
    return [
        Table(title, "1/s", "higher", rate, [Goal("aim", 0.8, BY_HAND)], ours=BATCHED),
        Table(
            f"a lone caller of the same, wait_ms={WAIT_MS}",
            "ms",
            "lower",
            lone,
            [Goal("aim", 1.1, ONE_BY_ONE)],
            ours=ADAPTIVE,
        ),
    ]


WORK = Work("batching", PEERS, measure, tables, rounds=2)
