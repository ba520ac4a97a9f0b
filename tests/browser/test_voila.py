"""A notebook as a Voila page: no code, cells that run by themselves, a dashboard that is live."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tests.browser.jupyter import Server

#: What Voila's own page asks for.
VOILAS = ("fontawesome", "mathjax")

CELLS = [
    """
%load_ext modalnb
import modalnb as modal
app = modal.App("page")

@app.function(max_containers=2, scaledown_window=60, cpu=0.1)
def cube(x):
    return x**3

app.dashboard()""",
    "%%remote\nfrom IPython.display import HTML\nHTML('<b class=mine>made in a container</b>')",
    "list(cube.map(range(3)))",
]


@pytest.mark.skipif(
    importlib.util.find_spec("voila") is None,
    reason="voila is missing: pip install 'modalnb[test]'",
)
def test_page_is_live_and_steers(jupyter: Server, browser: Any) -> None:
    kernels = jupyter.kernels()
    name = jupyter.write("voila-page.ipynb", CELLS)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    outside: list[str] = []
    errors: list[str] = []
    own = (jupyter.origin, jupyter.origin.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{jupyter.origin}/voila/render/{name}?token={jupyter.token}", timeout=120_000)
    page.locator(".modalnb-badge", has_text="live").wait_for(timeout=60_000)
    page.locator(".mine", has_text="made in a container").wait_for()
    page.get_by_text("[0, 1, 8]").wait_for()
    page.locator(".modalnb-figure", has_text="3done").wait_for()
    page.get_by_role("slider", name="min containers").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.locator(".modalnb-tile").nth(1).wait_for()
    assert not page.get_by_text("Error displaying widget").first.is_visible()
    page.close()
    for kernel_id in jupyter.kernels() - kernels:
        jupyter.end_kernel(kernel_id)
    assert [url for url in outside if not any(name in url for name in VOILAS)] == []
    assert errors == []
