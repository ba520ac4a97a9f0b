"""Job cards and cells in containers, as a person sees them in a real page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.jupyter import App, NotebookPage, Open

SETUP = """\
%load_ext modalnb
import modalnb as modal
import threading
app = modal.App("pages")

@app.function(max_containers=2)
def nap(x):
    threading.Event().wait(0.2)
    return x
"""

PICTURE = """\
%%remote
import matplotlib.pyplot as plt
import pandas as pd
print("drawing")
table = pd.DataFrame({"n": [1, 2, 3], "square": [1, 4, 9]})
table.plot(x="n", y="square", figsize=(4, 2))
table
"""


def _card(notebook: NotebookPage, index: int) -> Any:
    return notebook.output(index).locator(".modalnb-card")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_cancel_button_works_while_its_cell_is_busy(open_notebook: Open, app: App) -> None:
    notebook = open_notebook([SETUP, "list(nap.map(range(500)))"], app=app)
    notebook.run(0)
    notebook.run(1, wait=False)
    # Squares of two kinds: inputs that wait, and those that run or are done.
    _card(notebook, 1).locator("svg path").nth(1).wait_for()
    notebook.output(1).get_by_role("button", name="Cancel").click()
    notebook.wait_done(1)
    _card(notebook, 1).get_by_text("cancelled after").wait_for()
    assert "InputCancelledError" in notebook.output(1).inner_text()
    notebook.output(1).get_by_role("button", name="Cancel").wait_for(state="detached")


def test_remote_cell_shows_figures_and_its_card_survives_a_reload(open_notebook: Open) -> None:
    notebook = open_notebook([SETUP, PICTURE, "int(table['square'].sum())"], height=1400)
    for index in range(3):
        notebook.run(index)
    notebook.output(2).get_by_text("14").wait_for()
    _card(notebook, 1).get_by_text("done").wait_for()
    shown = notebook.output(1)
    assert shown.locator("img").evaluate("image => image.naturalWidth") > 200
    assert shown.locator("table td").all_inner_texts() == ["1", "1", "2", "4", "3", "9"]
    assert "drawing" in shown.inner_text()
    saved = notebook.save()
    assert "widgets" not in saved["metadata"]
    kinds = {kind for o in saved["cells"][1]["outputs"] for kind in o.get("data", {})}
    assert kinds == {"text/plain", "text/html", "image/png"}
    notebook.reload()
    _card(notebook, 1).get_by_text("done").wait_for()
    assert "Brought back" in _card(notebook, 1).inner_text()
    notebook.set_theme("JupyterLab Dark")
    colour = _card(notebook, 1).evaluate("card => getComputedStyle(card).color")
    assert min(int(part) for part in colour.strip("rgba()").split(",")[:3]) > 150
