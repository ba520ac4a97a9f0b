"""The dashboard in a real page: it appears, follows the pool, steers it, survives a reload."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.browser.jupyter import App, NotebookPage, Open

#: A slider has to act within 0.3 s; a browser and a kernel on two busy cores may take longer.
STEER_SECONDS = 3.0

SETUP = """
import os
import modalnb as modal
app = modal.App("tour")

@app.function(max_containers=2, scaledown_window=60, cpu=0.1)
def work(path):
    import os, time
    print("waits for", path)
    while not os.path.exists(path):
        time.sleep(0.01)

@app.function(max_containers=2)
def cube(x):
    return x**3
"""
DASHBOARD = "app.dashboard(rate=0.5)"
#: Holds up the cells, and leaves work behind, until the gate is opened.
BUSY = """
open("started", "w").write(str(os.getpid()))
list(work.map(["gate"] * 8))
"""


@pytest.fixture
def gate(jupyter: Any) -> Any:
    """The folder of the notebooks, without what an earlier test left there."""
    for name in ("gate", "started"):
        (jupyter.root / name).unlink(missing_ok=True)
    return jupyter.root


def _points(notebook: NotebookPage) -> int:
    return int(notebook.page.locator(".modalnb-board").first.get_attribute("data-points") or 0)


def _wait_points(notebook: NotebookPage, more_than: int = 0) -> int:
    notebook.page.wait_for_function(
        "(n) => +(document.querySelector('.modalnb-board')?.dataset.points ?? 0) > n",
        arg=more_than,
    )
    return _points(notebook)


def _wait_text(notebook: NotebookPage, selector: str, text: str) -> None:
    notebook.page.locator(selector, has_text=text).first.wait_for(state="attached")


def _containers(kernel: int) -> int:
    """Container processes on this machine: the children of the zygote of the kernel's engine."""
    found = psutil.Process(kernel).children(recursive=True)
    zygotes = {p.pid for p in found if any(c.ppid() == p.pid for c in found) and p.ppid() != kernel}
    return sum(p.ppid() in zygotes for p in found)


def _press(notebook: NotebookPage, name: str, key: str, times: int = 1) -> None:
    notebook.page.get_by_role("slider", name=name).first.focus()
    for _ in range(times):
        notebook.page.keyboard.press(key)


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_slider_moved_by_keyboard_during_a_busy_cell_starts_containers(
    open_notebook: Open, gate: Path, wait_until: Callable[..., None], app: App
) -> None:
    notebook = open_notebook([SETUP, DASHBOARD, BUSY], app=app, height=1000)
    notebook.run(0)
    notebook.run(1)
    _wait_points(notebook)
    notebook.run(2, wait=False)
    wait_until(lambda: (gate / "started").exists() and (gate / "started").read_text())
    kernel = int((gate / "started").read_text())
    wait_until(lambda: _containers(kernel) == 2)
    notebook.page.locator(".modalnb-tile.modalnb-busy").nth(1).wait_for()

    _press(notebook, "max containers", "ArrowRight", 2)
    moved = time.monotonic()
    _wait_text(notebook, ".modalnb-status", "applied")
    assert time.monotonic() - moved < STEER_SECONDS
    wait_until(lambda: _containers(kernel) == 4)
    notebook.page.locator(".modalnb-tile.modalnb-busy").nth(3).wait_for()
    _wait_text(notebook, ".modalnb-origin", "override 4")
    _wait_text(notebook, ".modalnb-mark.modalnb-settings title", "max_containers")
    assert not (gate / "gate").exists(), "the cell was busy all the time"
    (gate / "gate").touch()
    notebook.wait_done(2)
    _wait_text(notebook, ".modalnb-figure", "8done")


def test_reload_keeps_the_history_and_a_restart_disconnects(
    open_notebook: Open, gate: Path
) -> None:
    (gate / "gate").touch()
    notebook = open_notebook([SETUP, DASHBOARD, "for _ in range(3): work.remote('gate')"])
    notebook.run(0)
    notebook.run(1)
    notebook.run(2)
    _wait_text(notebook, ".modalnb-figure", "3done")
    points = _wait_points(notebook, 3)
    notebook.save()
    notebook.reload()
    assert _wait_points(notebook) >= points
    _wait_text(notebook, ".modalnb-mark.modalnb-ready title", "cold start")
    _wait_text(notebook, ".modalnb-badge", "live")
    notebook.restart_kernel()
    _wait_text(notebook, ".modalnb-badge", "disconnected since")


def test_saved_notebook_shows_the_picture_without_its_kernel(
    open_notebook: Open, gate: Path
) -> None:
    """What stands in the place of the lost view does not disturb, and other output stays."""
    (gate / "gate").touch()
    notebook = open_notebook([SETUP, f"print('before')\n{DASHBOARD}", "work.remote('gate')"])
    for cell in range(3):
        notebook.run(cell)
    _wait_text(notebook, ".modalnb-figure", "1done")
    picture = ".modalnb-still .modalnb-summary"
    notebook.page.locator(picture, has_text="1 container").first.wait_for(state="attached")
    assert not notebook.page.locator(picture).first.is_visible()
    notebook.save()
    notebook.restart_kernel()
    notebook.reload()
    notebook.page.locator(picture, has_text="1 container").first.wait_for()
    lost = notebook.page.get_by_text("Error displaying widget")
    lost.first.wait_for(state="attached")
    assert not any(line.is_visible() for line in lost.all())
    assert notebook.output(1).get_by_text("before").is_visible()
    # The widget manager says so in the console too.
    assert all("widget model not found" in error for error in notebook.errors)
    notebook.errors.clear()


def test_keyboard_opens_a_log_moves_the_cursor_and_chooses_a_function(
    open_notebook: Open, gate: Path
) -> None:
    (gate / "gate").touch()
    notebook = open_notebook([SETUP, DASHBOARD, "work.remote('gate'); cube.remote(3)"])
    for cell in range(3):
        notebook.run(cell)
    page = notebook.page
    page.locator(".modalnb-tile").first.focus()
    page.keyboard.press("Enter")
    _wait_text(notebook, ".modalnb-log pre", "waits for gate")
    page.locator(".modalnb-charts[tabindex]").focus()
    page.keyboard.press("ArrowLeft")
    _wait_text(notebook, ".modalnb-tip", "pending")
    page.keyboard.press("Escape")
    page.locator(".modalnb-tip").wait_for(state="hidden")
    page.get_by_role("button", name="table", exact=True).press("Enter")
    page.locator(".modalnb-scroll th", has_text="busy").wait_for()
    page.locator(".modalnb-pools button", has_text="cube").press("Enter")
    _wait_text(notebook, ".modalnb-controls option:checked", "cube")
    assert page.locator(".modalnb-head button", has_text="table").count() == 1
    assert notebook.page.evaluate("document.querySelectorAll('.jp-Cell').length") == 3


def test_buttons_revert_undo_and_copy(open_notebook: Open, gate: Path) -> None:
    notebook = open_notebook([SETUP, DASHBOARD, "print(work.snapshot().settings)"])
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.run(0)
    notebook.run(1)
    _wait_points(notebook)
    page = notebook.page
    _press(notebook, "min containers", "ArrowRight", 3)
    _wait_text(notebook, ".modalnb-origin", "override 3")
    pushed = page.locator(".modalnb-parameter", has_text="max containers")
    pushed.locator(".modalnb-origin", has_text="override 3").wait_for()
    page.get_by_role("button", name="Copy as code").click()
    _wait_text(notebook, ".modalnb-status pre", "max_containers=3")
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('work.')")
    page.get_by_role("button", name="Revert", exact=True).click()
    _wait_text(notebook, ".modalnb-status", "min containers 3 → 0")
    page.get_by_role("button", name="Undo", exact=True).click()
    _wait_text(notebook, ".modalnb-status", "min containers 0 → 3")
    page.get_by_label("unlimited").check()
    _wait_text(notebook, ".modalnb-origin", "override unlimited")
    notebook.run(2)
    assert "min_containers=3, max_containers=None" in notebook.output(2).inner_text()


def test_charts_that_cannot_live_become_a_picture(open_notebook: Open, gate: Path) -> None:
    """As where anywidget's part of the front end is not installed."""
    (gate / "gate").touch()
    notebook = open_notebook([SETUP, DASHBOARD, "work.remote('gate')"])
    notebook.page.route("**/anywidget/**", lambda route: route.abort())
    notebook.reload()
    for cell in range(3):
        notebook.run(cell)
    _wait_text(notebook, ".modalnb-root .modalnb-still .modalnb-summary", "1 container")
    _press(notebook, "", "PageUp")
    _wait_text(notebook, ".modalnb-status", "applied")
    notebook.errors.clear()  # the browser tells of the part that was kept from it


def test_dark_theme_is_followed(open_notebook: Open, gate: Path) -> None:
    (gate / "gate").touch()
    notebook = open_notebook([SETUP, DASHBOARD, "work.remote('gate')"])
    notebook.set_theme("JupyterLab Light")
    for cell in range(3):
        notebook.run(cell)
    notebook.page.locator(".modalnb-tile").first.wait_for()
    shown = "() => getComputedStyle(document.querySelector('.modalnb-figure b')).color"
    light = notebook.page.evaluate(shown)
    notebook.set_theme("JupyterLab Dark")
    notebook.page.wait_for_function(f"(light) => ({shown})() !== light", arg=light)
