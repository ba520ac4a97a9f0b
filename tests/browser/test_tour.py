"""The tour, run by a person who has read nothing: three cells, in both front ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browser.jupyter import App, Open

TOUR = Path(__file__).parents[2] / "notebooks" / "00-tour.ipynb"


def _cells() -> list[str]:
    cells = json.loads(TOUR.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_tour_shows_the_pool_grow_and_draws_its_result(open_notebook: Open, app: App) -> None:
    setup, work, draw, tell, *_ = _cells()
    notebook = open_notebook([setup, work, draw, tell], app=app, height=3000)
    notebook.run(0)
    notebook.output(0).get_by_text("no containers").first.wait_for()
    notebook.run(1, wait=False)
    notebook.output(0).locator(".modalnb-tile").nth(1).wait_for()
    notebook.wait_done(1)
    notebook.output(1).get_by_text("done 42 of 42").wait_for()
    notebook.run(2)
    assert notebook.output(2).locator("img").evaluate("image => image.naturalWidth") > 200
    notebook.run(3)
    notebook.output(3).get_by_text("% read right").wait_for()
