"""kill -9 while inputs run: each runs again, none is lost, none is answered twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import modalnb
from tests.faults import marks

COUNT = 20
VICTIM = 7


def _kill(pid: int) -> None:
    psutil.Process(pid).kill()


def test_kill_of_one_input_at_a_time(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """Only the input that executes runs again, not those that were reported or waited behind."""

    @app.function(max_containers=1)
    def work(folder: Path, n: int) -> int:
        if marks.note(folder, n) == 1 and n == VICTIM:
            marks.hang()
        return 10 * n

    call = work.spawn_map([tmp_path] * COUNT, range(COUNT))
    wait_until(lambda: marks.pids(tmp_path, VICTIM) and call.status()["done"] == VICTIM)
    _kill(marks.pids(tmp_path, VICTIM)[0])
    assert list(call.iter()) == [10 * n for n in range(COUNT)]
    assert marks.counts(tmp_path, range(COUNT)) == [1 + (n == VICTIM) for n in range(COUNT)]
    assert work.remote(tmp_path, 100) == 1000


def _sync(folder: Path, n: int) -> int:
    if marks.note(folder, n) == 1:
        marks.hang()
    return 10 * n


async def _async(folder: Path, n: int) -> int:
    if marks.note(folder, n) == 1:
        await asyncio.sleep(600)
    return 10 * n


@pytest.mark.parametrize("function", [_sync, _async], ids=["threads", "tasks"])
def test_kill_of_many_inputs_at_once(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None], function: Any
) -> None:
    work = app.function(max_containers=1)(modalnb.concurrent(max_inputs=5)(function))
    call = work.spawn_map([tmp_path] * 5, range(5))
    wait_until(lambda: marks.counts(tmp_path, range(5)) == [1] * 5)
    _kill(marks.pids(tmp_path, 0)[0])
    assert list(call.iter()) == [10 * n for n in range(5)]
    assert marks.counts(tmp_path, range(5)) == [2] * 5
    assert work.remote(tmp_path, 0) == 0


def test_kill_of_a_batch(app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=4, wait_ms=500)
    def work(folders: list[Path], ns: list[int]) -> list[int]:
        if [marks.note(folders[0], n) for n in ns] == [1] * 4:
            marks.hang()
        return [10 * n for n in ns]

    call = work.spawn_map([tmp_path] * 4, range(4))
    wait_until(lambda: marks.counts(tmp_path, range(4)) == [1] * 4)
    _kill(marks.pids(tmp_path, 0)[0])
    assert list(call.iter()) == [10 * n for n in range(4)]
    assert marks.counts(tmp_path, range(4)) == [2] * 4
    assert work.remote(tmp_path, 0) == 0


def test_kill_of_a_generator(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """It begins again; the caller gets each element once."""

    @app.function(max_containers=1)
    def count(folder: Path, n: int) -> Iterator[int]:
        is_first = marks.note(folder, "begun") == 1
        for element in range(n):
            if is_first and element == n // 2:
                marks.note(folder, "half")
                marks.hang()
            yield element

    stream = count.remote_gen(tmp_path, 100)
    elements = [next(stream)]
    wait_until(lambda: marks.pids(tmp_path, "half"))
    _kill(marks.pids(tmp_path, "half")[0])
    elements += stream
    assert elements == list(range(100))
    assert list(count.remote_gen(tmp_path, 3)) == [0, 1, 2]


def test_killed_containers_of_one_map_are_replaced_while_it_runs(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """Whatever they do at that moment: start, take inputs, execute, report."""

    @app.function(max_containers=2)
    def work(folder: Path, n: int) -> int:
        with open(folder / f"{os.getpid()}", "a") as file:
            file.write(".")
        return n

    call = work.spawn_map([tmp_path] * 3_000, range(3_000))
    killed = []
    for done in range(300, 2_100, 300):
        wait_until(lambda done=done: call.status()["done"] > done)
        victims = [c.pid for c in work.snapshot().containers if c.pid and psutil.pid_exists(c.pid)]
        for pid in victims[:1]:
            _kill(pid)
            killed.append(pid)
    assert list(call.iter()) == list(range(3_000))
    assert len(set(killed)) > 2
    assert work.snapshot().demand == 0
