"""The notebooks: clean as they are stored, true as they are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.store_outputs import is_unstable

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def _read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_stored_clean(name: str) -> None:
    """No output that changes, no widgets, no kernel of somebody's own."""
    notebook = _read(name)
    assert notebook["metadata"].keys() <= {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["execution_count"] is None) == (not cell["outputs"])
            assert not (is_unstable(cell) and cell["outputs"])
            assert "widget" not in json.dumps(cell["outputs"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_begins_with_its_idea(name: str) -> None:
    cells = _read(name)["cells"]
    assert cells[0]["cell_type"] == "markdown"
    heading, _, idea = "".join(cells[0]["source"]).partition("\n\n")
    assert heading.startswith("# ")
    assert len(idea) > 80, "a heading alone explains nothing"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(name: str) -> None:
    """In a kernel of its own; every cell that is not tagged as unstable shows what is stored."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(FOLDER)),
            *("-p", "no:cacheprovider", "--nbval", "--nbval-current-env"),
            *("--nbval-cell-timeout", "240", str(FOLDER / f"{name}.ipynb")),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MODALNB_NONINTERACTIVE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
