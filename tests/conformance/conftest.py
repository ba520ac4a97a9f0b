"""What user code in containers and the test that watches it tell each other, through files."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modalnb.payload import pickling

# Signals and notes travel inside of user code, to containers that cannot import this file.
pickling.pickle_by_value(sys.modules[__name__])


class Signal:
    """An event that processes share; whoever waits gives up after `seconds`."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def set(self) -> None:
        Path(self._path).touch()

    def is_set(self) -> bool:
        return os.path.exists(self._path)

    def wait(self, seconds: float = 30.0) -> None:
        pause = threading.Event()
        deadline = time.monotonic() + seconds
        while not self.is_set():
            assert time.monotonic() < deadline, f"{self._path} was not set"
            pause.wait(0.005)

    async def wait_async(self) -> None:
        """The same for a task among others, until it is cancelled."""
        while not self.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Notes:
    """Lines that processes write one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def add(self, text: object) -> int:
        """Write a line; returns how many there are with it."""
        with open(self._path, "a+") as file:
            file.write(f"{text}\n")
            file.flush()
            file.seek(0)
            return len(file.readlines())

    def wait(self, count: int, seconds: float = 30.0) -> None:
        """Return when there are so many lines."""
        pause = threading.Event()
        deadline = time.monotonic() + seconds
        while len(self.lines) < count:
            assert time.monotonic() < deadline, f"there are only {self.lines}"
            pause.wait(0.005)

    @property
    def lines(self) -> list[str]:
        if not os.path.exists(self._path):
            return []
        return Path(self._path).read_text().splitlines()


@pytest.fixture
def signal(tmp_path: Path) -> Callable[[str], Signal]:
    """Makes the signal of a name."""
    return lambda name: Signal(tmp_path / f"signal-{name}")


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")
