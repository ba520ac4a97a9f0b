"""The tests of the core reach every branch of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


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

    this = f"--ignore={Path(__file__).relative_to(ROOT)}"
    coverage("run", "-m", "pytest", "tests/core", "-q", this)
    coverage("report", "--show-missing", "--skip-covered")
