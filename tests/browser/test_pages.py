"""The pages that all browser tests stand on: kernels run this modalnb, nothing leaves loopback."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.browser.jupyter import PANEL, ROOT, App, Open

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_cells_run_in_both_front_ends(open_notebook: Open, app: App) -> None:
    notebook = open_notebook(["import modalnb; print(modalnb.__file__)"], app=app)
    notebook.run(0)
    assert notebook.output(0).inner_text().strip() == str(ROOT / "modalnb" / "__init__.py")
    saved = notebook.save()["cells"][0]["outputs"]
    assert str(ROOT) in saved[0]["text"][0]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_opens_as_it_is_stored(open_notebook: Open, name: str) -> None:
    path = ROOT / "notebooks" / f"{name}.ipynb"
    cells = json.loads(path.read_text())["cells"]
    heading = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
    page = open_notebook(path).page
    page.get_by_role("heading", name=heading, level=1).wait_for()
    shown = page.evaluate(
        f"{PANEL}.content.widgets.map((w) => w.model.type === 'code' ? w.model.outputs.length : 0)"
    )
    assert shown == [_shown_of(cell) for cell in cells]


def _shown_of(cell: dict[str, Any]) -> int:
    """How many outputs a page shows: what was printed in a row is one."""
    kinds = [output.get("name") or output for output in cell.get("outputs", ())]
    return len(list(itertools.groupby(kinds)))
