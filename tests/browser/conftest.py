"""Fixtures of the browser tests: Debian's Chromium, a Jupyter server, pages that must be clean."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.browser.jupyter import START_SECONDS, App, NotebookPage, Server

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_SECONDS = 60.0


def _chromium() -> str:
    """The browser, or a skip that says what is missing."""
    for module in ("playwright", "jupyterlab", "notebook"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'modalnb[test]'")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def jupyter(
    tmp_path_factory: pytest.TempPathFactory, wait_until: Callable[..., None]
) -> Iterator[Server]:
    """One Jupyter server for all browser tests; its kernels import this modalnb."""
    _chromium()
    server = Server(tmp_path_factory.mktemp("jupyter"))
    try:
        wait_until(server.is_up, seconds=START_SECONDS)
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser; for one module only, since its event loop would be in the way of others."""
    executable = _chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, headless=True, args=CHROMIUM_ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(
    jupyter: Server, browser: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., NotebookPage]]:
    """Open a notebook of code cells: ``open_notebook(cells, app="lab", width=1280, height=900)``.

    At the end no request may have left loopback and no error may be in the console; a picture of
    what the page showed is left in the test's temporary folder.
    """
    opened: list[NotebookPage] = []

    def open_(
        cells: Sequence[str] | Path, *, app: App = "lab", width: int = 1280, height: int = 900
    ) -> NotebookPage:
        name = f"{request.node.name.partition('[')[0]}-{len(opened)}.ipynb"
        if isinstance(cells, Path):
            shutil.copy(cells, jupyter.root / name)
        else:
            jupyter.write(name, cells)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PAGE_SECONDS * 1000)
        notebook = NotebookPage(page, jupyter, name, app)
        opened.append(notebook)
        return notebook

    yield open_
    for notebook in opened:
        notebook.page.screenshot(path=tmp_path / f"{Path(notebook.name).stem}.png")
        notebook.close()
    assert [url for notebook in opened for url in notebook.outside] == []
    assert [error for notebook in opened for error in notebook.errors] == []
