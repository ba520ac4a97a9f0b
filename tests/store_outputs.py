"""Runs notebooks and stores what their stable cells show.

``python tests/store_outputs.py [NAME]…`` does so for all notebooks, or for those named.  A cell
tagged ``nbval-ignore-output`` shows something else each time; of it nothing is stored.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
UNSTABLE = "nbval-ignore-output"


def store(path: Path) -> None:
    """Run one notebook and write it with its stable outputs."""
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(FOLDER)}}).execute()
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [] if is_unstable(cell) else cell.outputs
            # nbval takes a cell with outputs and without a count for one that never ran.
            cell.execution_count = cell.execution_count if cell.outputs else None
    path.write_text(nbformat.writes(notebook, indent=1, ensure_ascii=False) + "\n")


def is_unstable(cell: Any) -> bool:
    """Whether a cell shows something else each time."""
    return UNSTABLE in cell["metadata"].get("tags", ())


def main() -> None:
    """Store the outputs of the notebooks that are named, or of all."""
    os.environ["MODALNB_NONINTERACTIVE"] = "1"
    names = sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names:
        store(FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main()
