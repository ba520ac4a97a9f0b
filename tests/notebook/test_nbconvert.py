"""Notebooks that run by themselves keep plain cards: no widgets, no kernel needed to read them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, MarkdownExporter

import modalnb

ROOT = str(Path(modalnb.__file__).parents[1])

CELLS = [
    "%load_ext modalnb\nimport modalnb as modal\nimport threading\napp = modal.App('frozen')\n"
    "@app.function(max_containers=2)\ndef nap(x):\n    threading.Event().wait(0.05)\n    return x",
    "len(list(nap.map(range(40))))",
    "%%remote\nimport os\nthere = 40 + 2\nthere",
    "there",
    "nap",
]


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ROOT)
        NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return notebook


def test_cards_are_frozen_and_names_are_there(executed: nbformat.NotebookNode) -> None:
    _, mapped, remote, value, _ = executed.cells
    card = next(o for o in mapped.outputs if o.output_type == "display_data")
    assert sorted(card.data) == ["text/html", "text/plain"]
    assert re.match(r"j1 nap: done 40 of 40, 2 containers, .*inputs/s", card.data["text/plain"])
    texts = [o.data["text/plain"] for o in remote.outputs if "data" in o]
    assert texts[0].startswith("j2 remote: done, ")
    assert texts[0].endswith("Brought back there, os.")
    assert texts[1] == "42"
    assert value.outputs[0].data["text/plain"] == "42"


def test_no_widget_is_saved(executed: nbformat.NotebookNode) -> None:
    assert "widgets" not in executed.metadata
    assert "widget" not in nbformat.writes(executed)


def test_exports_show_the_cards(executed: nbformat.NotebookNode) -> None:
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert page.count('class="modalnb-card"') == 2
    text, _ = MarkdownExporter().from_notebook_node(executed)
    assert "done 40 of 40" in re.sub(r"<[^>]+>", "", text)
