"""The tests of the core reach every branch of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What only random lives reach, or a test of costs, is not tested.
BY_CHANCE = ("test_machine", "test_attempts", "test_cost")


@pytest.mark.timeout(600)
def test_every_branch_of_the_core_is_tested(tmp_path: Path) -> None:
    env = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")}

    def coverage(*arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    ignored = [f"--ignore=tests/core/{name}.py" for name in ("test_coverage", *BY_CHANCE)]
    coverage("run", "-m", "pytest", "tests/core", "-q", *ignored)
    coverage("report", "--show-missing", "--skip-covered")
