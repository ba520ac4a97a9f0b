"""Processes that user code starts: they end with their container, however they were started."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import modalnb
from tests.faults import marks

#: Processes of the tree below.
DEPTH = 5
TREE = 2 ** (DEPTH + 1) - 2


def _start_all_kinds() -> list[int]:
    """Children in the group of this process, outside of it, and one whose parent is gone."""
    kinds: list[dict[str, Any]] = [{}, {"process_group": 0}, {"start_new_session": True}]
    sleep = ["sleep", "600"]
    children = [subprocess.Popen(sleep, stdout=subprocess.DEVNULL, **kind) for kind in kinds]
    orphan = subprocess.check_output(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"])
    return [*(child.pid for child in children), int(orphan)]


@pytest.mark.parametrize("way", ["killed", "drained"])
def test_processes_of_user_code_end_with_their_container(
    app: modalnb.App, way: str, wait_until: Callable[..., None]
) -> None:
    @app.function(max_containers=1, scaledown_window=60)
    def start() -> tuple[int, list[int]]:
        return os.getpid(), _start_all_kinds()

    container, pids = start.remote()
    assert all(map(psutil.pid_exists, pids))
    if way == "killed":
        psutil.Process(container).kill()
    else:
        start.update_autoscaler(scaledown_window=0)
    wait_until(lambda: not any(map(psutil.pid_exists, [container, *pids])))
    replacement, pids = start.remote()
    assert replacement != container


def _grow(folder: Path, depth: int) -> None:
    """Fork two processes, each of which forks two, and so on; all of them hang."""
    for _ in range(2 if depth else 0):
        if os.fork() == 0:
            marks.note(folder, "forked")
            _grow(folder, depth - 1)
    marks.hang()


def test_input_that_forks_without_end_is_stopped_with_all_its_processes(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """Cut short here, so that the machine of the test does not suffer."""

    @app.function(max_containers=1, timeout=3)
    def grow(folder: Path, depth: int) -> int:
        if depth:
            _grow(folder, depth)
        return os.getpid()

    container = grow.remote(tmp_path, 0)
    with pytest.raises(modalnb.exception.FunctionTimeoutError):
        grow.remote(tmp_path, DEPTH)
    forked = marks.pids(tmp_path, "forked")
    assert len(forked) == TREE
    wait_until(lambda: not any(map(psutil.pid_exists, forked)))
    assert grow.remote(tmp_path, 0) != container


def test_stopped_input_without_processes_keeps_its_container(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=1)
    def run(sleeps: bool) -> int:
        subprocess.run(["true"], check=True)
        if sleeps:
            # On its way out `run` ends the process that it waits for.
            subprocess.run(["sleep", "600"], check=True)
        return os.getpid()

    container = run.remote(False)
    with pytest.raises(modalnb.exception.FunctionTimeoutError):
        run.remote(True)
    assert run.remote(False) == container


def test_function_may_use_a_pool_of_processes(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def absolute(n: int) -> list[int]:
        with multiprocessing.Pool(3) as pool:
            return pool.map(abs, range(-n, 0))

    assert absolute.remote(10) == list(range(10, 0, -1))
