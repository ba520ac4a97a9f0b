"""Limits: what is beyond them is refused at once with facts, or waits where it can."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any

import pytest

import modalnb
from modalnb.exception import ResourceExhaustedError
from modalnb.settings import Limits


def test_limits_are_those_of_the_guide() -> None:
    limits = Limits()
    assert limits.pending == 2_000
    assert limits.total == 25_000
    assert limits.pending_spawns == 1_000_000
    assert limits.map_outstanding == 1_000


@pytest.fixture
def full(app: modalnb.App, signal: Any, wait_until: Any) -> Any:
    """A function with all the pending inputs that it may have, and the gate that they wait for."""
    gate = signal("gate")

    @app.function(max_containers=1, name="full")
    def work(x: int) -> int:
        gate.wait()
        return x

    maps = [work.map(range(1_000)) for _ in range(3)]
    threads = [threading.Thread(target=list, args=[results]) for results in maps]
    for thread in threads:
        thread.start()
    # The container takes one of the first 2,000, and a map fills the place.
    wait_until(lambda: _demand(work.snapshot()) == (2_000, 1))
    yield work, gate
    gate.set()
    for thread in threads:
        thread.join()


def _demand(snapshot: Any) -> tuple[int, int]:
    return snapshot.pending, snapshot.running


def test_call_beyond_the_limit_is_refused_at_submit_and_maps_wait(
    full: Any, wait_until: Any
) -> None:
    work, gate = full
    with pytest.raises(ResourceExhaustedError) as caught:
        work.remote(1)
    error = caught.value
    assert (error.limit, error.current, error.maximum) == ("pending inputs", 2_000, 2_000)
    assert (error.function, error.retryable) == ("full", True)
    assert "`full` has 2,000 of at most 2,000 pending inputs" in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.limit, copy.maximum, str(copy)) == (error.limit, 2_000, str(error))
    with pytest.raises(ResourceExhaustedError):
        asyncio.run(work.remote.aio(1))
    # A refused input has left no trace, and what is spawned has a limit of its own.
    assert work.snapshot().pending == 2_000
    call = work.spawn(7)
    gate.set()
    assert call.get() == 7
    wait_until(lambda: work.snapshot().demand == 0)
    assert work.snapshot().done == 3_001


def test_throttle_wait_lets_calls_wait_for_room(full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    work, gate = full
    monkeypatch.setitem(modalnb.config._values, "max_throttle_wait", 0.3)
    began = time.monotonic()
    with pytest.raises(ResourceExhaustedError):
        work.remote(1)
    assert 0.3 <= time.monotonic() - began < 5
    monkeypatch.setitem(modalnb.config._values, "max_throttle_wait", 60.0)
    threading.Timer(0.3, gate.set).start()

    async def main() -> list[int]:
        return list(await asyncio.gather(*(work.remote.aio(n) for n in range(3))))

    assert asyncio.run(main()) == [0, 1, 2]


def test_limit_is_the_same_inside_of_containers(app: modalnb.App, full: Any) -> None:
    work, _ = full

    @app.function(max_containers=1)
    def caller() -> tuple[str, int]:
        try:
            work.remote(1)
        except ResourceExhaustedError as error:
            return error.limit, error.maximum
        return "", 0

    assert caller.remote() == ("pending inputs", 2_000)


def test_inputs_beyond_all_slots_wait_in_the_queue(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=2)
    def work(x: int) -> int:
        gate.wait()
        return x

    call = work.spawn_map(range(5))
    wait_until(lambda: work.snapshot().running == 2)
    stats = work.get_current_stats()
    assert (stats.backlog, stats.num_running_inputs, stats.num_total_runners) == (3, 2, 1)
    assert stats.input_headroom == 0
    gate.set()
    assert list(call.iter()) == list(range(5))
