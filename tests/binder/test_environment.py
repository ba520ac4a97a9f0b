"""The notebooks on a machine such as Binder gives: one core, two gigabytes, only Binder's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
MOST_MEMORY = 2 * 2**30
LOOK_SECONDS = 0.5


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with an environment made from the file that Binder reads."""
    copy = tmp_path_factory.mktemp("binder") / "repository"
    unwanted = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=copy, check=True)
    install = [".venv/bin/python", "-m", "pip", "install", "-q", "-r", "binder/requirements.txt"]
    subprocess.run(install, cwd=copy, check=True)
    return copy


def _memory(process: psutil.Process) -> int:
    """What a process and all below it hold, shared pages in parts."""
    held = 0
    # Processes may end while they are looked at.
    with suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held += one.memory_full_info().pss
    return held


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_with_one_core_and_two_gigabytes(repository: Path, name: str) -> None:
    process = subprocess.Popen(
        [
            *("binder/start", ".venv/bin/python", "-m", "jupyter", "execute"),
            *("--timeout=600", f"notebooks/{name}"),
        ],
        cwd=repository,
        env={**os.environ, "MODALNB_NONINTERACTIVE": "1", "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watched = psutil.Process(process.pid)
    watched.cpu_affinity([min(watched.cpu_affinity())])
    most, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_SECONDS):
            most[0] = max(most[0], _memory(watched))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        printed, _ = process.communicate()
    finally:
        is_over.set()
        watcher.join()
    assert process.returncode == 0, printed
    assert most[0] < MOST_MEMORY, f"{most[0] >> 20:,} MiB"
