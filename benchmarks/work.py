"""What a work is, and how one measurement of it is made: in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import Row, Table

ROOT = Path(__file__).resolve().parent.parent
CHILD_SECONDS = 240.0

#: Metrics of one measurement.
Measured = dict[str, float]


@dataclass(frozen=True, slots=True)
class Results:
    """Medians over the rounds by peer and metric, and why a peer has none."""

    medians: dict[str, Measured]
    failures: dict[str, str]

    def get(self, peer: str, metric: str) -> float | None:
        """The median of a metric; None if it was not measured."""
        return self.medians.get(peer, {}).get(metric)

    def rows(self, peers: Sequence[str], metric: str, note: str = "") -> list[Row]:
        """A row per peer; `note` may name further metrics, as in ``"p99 {p99:.2f} ms"``."""
        return [
            Row(
                peer,
                self.get(peer, metric),
                self.failures.get(peer) or note.format(**self.medians[peer]),
            )
            for peer in peers
        ]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing that is measured; `measure` runs in a child, `tables` in the parent."""

    name: str
    peers: Sequence[str]
    measure: Callable[[str, bool], Measured]
    tables: Callable[[Results], list[Table]]
    rounds: int = 3
    quick_rounds: int = 1


def find(name: str) -> Work:
    """The work of that name."""
    work: Work = importlib.import_module(f"benchmarks.works.{name}").WORK
    return work


def run(work: Work, *, quick: bool) -> Results:
    """Measure all peers in turn, round after round, so that load hits all of them alike."""
    samples: dict[str, dict[str, list[float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(work.quick_rounds if quick else work.rounds):
        for peer in work.peers:
            if peer in failures:
                continue
            try:
                measured = _measure_apart(work.name, peer, quick=quick)
            except _Failed as why:
                failures[peer] = str(why)
                continue
            for metric, value in measured.items():
                samples.setdefault(peer, {}).setdefault(metric, []).append(value)
    medians = {
        peer: {metric: statistics.median(values) for metric, values in metrics.items()}
        for peer, metrics in samples.items()
        if peer not in failures
    }
    return Results(medians, failures)


class _Failed(Exception):
    pass


def _measure_apart(name: str, peer: str, *, quick: bool) -> Measured:
    command = [sys.executable, "-m", "benchmarks.work", name, peer, str(int(quick))]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(), capture_output=True, timeout=CHILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise _Failed(f"no result within {CHILD_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise _Failed(lines[-1] if lines else f"exit status {done.returncode}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def _environment() -> dict[str, Any]:
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in path if p)}


def _measure_here(name: str, peer: str, quick: str) -> None:
    measured = find(name).measure(peer, quick == "1")
    sys.stdout.write(json.dumps(measured) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _measure_here(*sys.argv[1:])
