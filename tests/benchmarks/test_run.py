"""The benchmarks run from end to end; how fast is not asserted, since tests share their machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> dict[str, object]:
    """What the smallest work writes as JSON."""
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cold_start"]
    done = subprocess.run(
        [*command, "--json", str(file)], cwd=ROOT, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first result" in done.stdout
    facts: dict[str, object] = json.loads(file.read_text())
    return facts


def test_benchmark_prints_a_value_for_each_peer_when_run_end_to_end(
    run: dict[str, object],
) -> None:
    (table,) = run["tables"]  # type: ignore[misc]
    assert all(value > 0 for value in table["rows"].values())
    assert {"modalnb", "Dask"} <= set(table["rows"])
    assert [goal["word"] for goal in table["goals"]] == ["must", "aim"]
