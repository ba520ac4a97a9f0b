"""The end of ``modalnb run`` by a signal: its status, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

Start = Callable[..., "subprocess.Popen[str]"]
Write = Callable[..., Path]

SLOW = """
    import time, modalnb

    app = modalnb.App()

    @app.function()
    def nap(x):
        print("napping", flush=True)
        time.sleep(600)

    @app.local_entrypoint()
    def main():
        list(nap.map(range(100)))
    """


def running(start: Start, *words: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A process with inputs under way, and all that it has started."""
    process = start(*words)
    assert process.stdout is not None
    assert process.stdout.readline() == "napping\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3, "an engine, its zygote and a container"
    return process, family


@pytest.mark.parametrize("words", [("job.py",), ("job.py::nap", "--x", "1")])
def test_interrupt_ends_with_130_and_leaves_nothing(
    start: Start, write: Write, words: tuple[str, ...]
) -> None:
    write(SLOW)
    process, family = running(start, *words)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "Interrupted.\n")
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def test_kill_leaves_nothing(start: Start, write: Write) -> None:
    write(SLOW)
    process, family = running(start, "job.py")
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
