"""Runs the command line as a user does: a real process, on files in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import modalnb

ROOT = Path(modalnb.__file__).parent.parent
SECONDS = 120.0

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of user code into the folder; returns its path."""

    def write(text: str, name: str = "job.py") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    return write


def _options(folder: Path) -> dict[str, Any]:
    return {
        "cwd": folder,
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``modalnb run`` with these words and wait for its end."""

    def run(*words: str, command: tuple[str, ...] = ("run",)) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "modalnb", *command, *words]
        return subprocess.run(line, check=False, timeout=SECONDS, **_options(tmp_path))

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``modalnb run`` in a process group of its own, as a shell does."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "modalnb", "run", *words]
        process = subprocess.Popen(line, process_group=0, **_options(tmp_path))
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
