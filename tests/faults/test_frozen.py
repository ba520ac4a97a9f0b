"""Containers that do not react: stopped processes, and code that holds the interpreter."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import modalnb
from modalnb.exception import FunctionTimeoutError
from tests.faults import marks


def _hold_interpreter() -> None:
    """What C code does that never lets other threads of Python run."""
    ctypes.PyDLL(None).sleep(600)


def test_stopped_container_is_replaced_when_the_time_of_its_input_is_over(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    @app.function(max_containers=1, timeout=2)
    def work(folder: Path, hangs: bool) -> int:
        marks.note(folder, hangs)
        if hangs:
            marks.hang()
        return os.getpid()

    stopped = work.spawn(tmp_path, True)
    wait_until(lambda: marks.pids(tmp_path, True))
    [pid] = marks.pids(tmp_path, True)
    psutil.Process(pid).suspend()
    queued = [work.spawn(tmp_path, False) for _ in range(3)]
    with pytest.raises(FunctionTimeoutError, match="timeout of 2 s"):
        stopped.get(timeout=30)
    assert pid not in [call.get(timeout=30) for call in queued]
    assert marks.pids(tmp_path, True) == [pid]
    assert len(marks.pids(tmp_path, False)) == 3
    wait_until(lambda: not psutil.pid_exists(pid))


def test_container_that_was_stopped_for_a_while_goes_on_as_if_nothing_had_happened(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    @app.function(max_containers=1, timeout=60)
    def work(folder: Path, n: int) -> int:
        marks.note(folder, n)
        while not (folder / "gate").exists():
            pass
        return n

    call = work.spawn_map([tmp_path] * 20, range(20))
    wait_until(lambda: marks.pids(tmp_path, 0))
    process = psutil.Process(marks.pids(tmp_path, 0)[0])
    process.suspend()
    (tmp_path / "gate").touch()
    more = [work.spawn(tmp_path, n) for n in range(20, 25)]
    assert call.status()["done"] == 0
    process.resume()
    assert list(call.iter()) == list(range(20))
    assert [call.get(timeout=30) for call in more] == list(range(20, 25))
    assert marks.counts(tmp_path, range(25)) == [1] * 25
    assert set(marks.pids(tmp_path, 24)) == {process.pid}


def test_code_that_holds_the_interpreter_is_ended_with_its_process(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=1)
    def work(holds: bool) -> int:
        if holds:
            _hold_interpreter()
        return os.getpid()

    container = work.remote(False)
    call = work.spawn(True)
    waiting = [work.spawn(False) for _ in range(3)]
    with pytest.raises(FunctionTimeoutError, match="timeout of 1 s"):
        call.get(timeout=30)
    assert container not in [call.get(timeout=30) for call in waiting]
    assert not psutil.pid_exists(container)


def test_siblings_of_code_that_holds_the_interpreter_run_elsewhere(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    @app.function(max_containers=1, timeout=2)
    @modalnb.concurrent(max_inputs=4)
    async def work(folder: Path, n: int) -> int:
        marks.note(folder, n)
        if n == 0:
            _hold_interpreter()
        return n

    holder = work.spawn(tmp_path, 0)
    wait_until(lambda: marks.pids(tmp_path, 0))
    # Their time is over so much later than that of the holder.
    later = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > later)
    siblings = [work.spawn(tmp_path, n) for n in (1, 2, 3)]
    with pytest.raises(FunctionTimeoutError):
        holder.get(timeout=30)
    assert modalnb.FunctionCall.gather(*siblings) == [1, 2, 3]
    assert marks.counts(tmp_path, range(4)) == [1] * 4
    assert not psutil.pid_exists(marks.pids(tmp_path, 0)[0])
