"""The pages that all browser tests stand on: kernels run this modalnb, nothing leaves loopback."""

from __future__ import annotations

import pytest

from tests.browser.jupyter import ROOT, App, Open


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_cells_run_in_both_front_ends(open_notebook: Open, app: App) -> None:
    notebook = open_notebook(["import modalnb; print(modalnb.__file__)"], app=app)
    notebook.run(0)
    assert notebook.output(0).inner_text().strip() == str(ROOT / "modalnb" / "__init__.py")
    saved = notebook.save()["cells"][0]["outputs"]
    assert str(ROOT) in saved[0]["text"][0]
