"""What inputs have done, written down in a folder, where it outlives their processes."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path


def note(folder: Path, word: object) -> int:
    """Write down that this process has done something; returns how often that was done by now."""
    with open(folder / "marks", "a") as file:
        file.write(f"{word} {os.getpid()}\n")
    return len(pids(folder, word))


def pids(folder: Path, word: object) -> list[int]:
    """The processes that have noted this, one entry each time."""
    return [pid for found, pid in _marks(folder) if found == str(word)]


def counts(folder: Path, words: range) -> list[int]:
    """How often each of these was noted."""
    found = Counter(word for word, _ in _marks(folder))
    return [found[str(word)] for word in words]


def _marks(folder: Path) -> list[tuple[str, int]]:
    try:
        lines = (folder / "marks").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(word, int(pid)) for word, pid in map(str.split, lines)]


def hang() -> None:
    """Do nothing for longer than any test lasts."""
    threading.Event().wait(600)
