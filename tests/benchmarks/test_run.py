"""The benchmarks run from end to end; how fast is not asserted, since tests share their machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    """What the smallest work writes as JSON."""
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cold_start"]
    done = subprocess.run(
        [*command, "--json", str(file)], cwd=ROOT, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first result" in done.stdout
    tables: list[dict[str, Any]] = json.loads(file.read_text())["tables"]
    assert len(tables) == 1
    return tables[0]


def test_benchmark_has_a_value_for_each_peer_when_run_end_to_end(table: dict[str, Any]) -> None:
    assert {"modalnb", "Dask"} <= set(table["rows"])
    assert all(value > 0 for value in table["rows"].values())
    assert [goal["word"] for goal in table["goals"]] == ["must", "aim"]
