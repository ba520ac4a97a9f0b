"""Runs the works one after the other and prints a table for each."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import work
from benchmarks.table import Table

WORKS = (
    "import_time",
    "latency",
    "throughput",
    "efficiency",
    "echo",
    "cold_start",
    "one_more",
    "idle",
    "pending",
    "queue_cost",
    "busy_kernel",
    "waits",
    "batching",
    "slow_batches",
    "retry_storm",
    "cancelling",
    "dashboard",
    "web",
)
PACKAGES = ("distributed", "loky", "joblib", "numpy")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller works, one round of each")
    parser.add_argument(
        "--only", action="append", choices=WORKS, metavar="NAME", help=f"of {', '.join(WORKS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser.parse_args(argv)


def _load_line() -> str:
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"load {load} on {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _summary(tables: list[Table]) -> str:
    judged = [(t, *j) for t in tables for j in t.judged()]
    lines = [""]
    for word in ("must", "aim"):
        of_word = [(table, holds) for table, goal, _, holds in judged if goal.word == word]
        missed = [table.title for table, holds in of_word if not holds]
        lines.append(
            f"{word}: {len(of_word) - len(missed)} of {len(of_word)} hold"
            + (f"; missed: {'; '.join(missed)}" if missed else "")
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the tables; 1 if something could not be measured for modalnb."""
    options = _arguments(argv)
    started = time.monotonic()
    head = _load_line()
    print(head, flush=True)
    tables: list[Table] = []
    for name in options.only or WORKS:
        chosen, begun = work.find(name), time.monotonic()
        for table in chosen.tables(work.run(chosen, quick=options.quick)):
            print(table, flush=True)
            tables.append(table)
        print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
    print(_summary(tables))
    print(f"{_load_line()}; took {time.monotonic() - started:.0f} s")
    if options.json is not None:
        facts = {"machine": head, "tables": [table.to_dict() for table in tables]}
        options.json.write_text(json.dumps(facts, indent=1))
    return int(any(table.value(table.ours) is None for table in tables))


if __name__ == "__main__":
    raise SystemExit(main())
