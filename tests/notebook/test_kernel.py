"""The dashboard in a real kernel, spoken to as a page would: it answers while a cell is busy."""

from __future__ import annotations

import functools
import queue
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

import modalnb

ROOT = str(Path(modalnb.__file__).parents[1])
SECONDS = 30.0

PRELUDE = """
import modalnb as modal
app = modal.App("my-app")

@app.function(max_containers=2, cpu=0.1)
def square(x):
    return x * x
"""
BUSY = """
import os, time
while not os.path.exists("gate"):
    time.sleep(0.01)
"""


class Page:
    """A front end of the tests' own: it opens no window, but speaks for the widgets of a kernel."""

    def __init__(self, client: Any) -> None:
        self.client = client
        #: What the kernel sent since it was started: (message type, content).
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.subshell = self._ask("create_subshell_request")["subshell_id"]

    def _ask(self, kind: str, **content: Any) -> dict[str, Any]:
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.control_channel.get_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                answer: dict[str, Any] = reply["content"]
                return answer

    def run(self, code: str) -> str:
        """Begin to run a cell; returns its id."""
        return str(self.client.execute(code))

    def listen(self, condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Take in what the kernel sends until the condition holds; returns its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            left = deadline - time.monotonic()
            assert left > 0, f"not in {seconds} s"
            try:
                message = self.client.get_iopub_msg(timeout=min(left, 1.0))
            except queue.Empty:
                continue
            self.heard.append((message["msg_type"], message["content"] | {"at": time.monotonic()}))
        return value

    def finish(self, cell: str) -> None:
        """Wait for the end of a cell, which must not fail."""
        while True:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == cell:
                assert reply["content"]["status"] == "ok", reply["content"]
                return

    def texts(self, kind: str = "stream") -> list[str]:
        """All that was printed."""
        return [content["text"] for name, content in self.heard if name == kind]

    def opened(self) -> dict[str, dict[str, Any]]:
        """The state of each widget as it was opened, by the id of its comm."""
        return {
            content["comm_id"]: content["data"]["state"]
            for name, content in self.heard
            if name == "comm_open"
        }

    def find(self, model: str, number: int = 0) -> str:
        """The id of the widget of that model that was opened as the `number`-th."""
        found = [key for key, state in self.opened().items() if state["_model_name"] == model]
        return found[number]

    def send(self, comm_id: str, data: dict[str, Any]) -> None:
        """Send for a widget as JupyterLab does: to the kernel's subshell."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def custom(self, comm_id: str) -> list[dict[str, Any]]:
        """The custom messages that came for a widget."""
        return [
            content["data"]["content"]
            for name, content in self.heard
            if name == "comm_msg"
            and content["comm_id"] == comm_id
            and content["data"].get("method") == "custom"
        ]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("PYTHONPATH", ROOT)
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield Page(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def _show(page: Page) -> str:
    """Show a dashboard; returns the id of its charts."""
    page.finish(page.run(PRELUDE))
    page.finish(page.run("app.dashboard()"))
    page.listen(lambda: any(name == "display_data" for name, _ in page.heard))
    charts = page.find("AnyModel")
    page.send(charts, {"method": "custom", "content": {"kind": "hello"}})
    page.listen(lambda: page.custom(charts))
    return charts


def test_page_gets_all_at_hello_and_then_only_news(page: Page) -> None:
    charts = _show(page)
    first = page.custom(charts)[0]
    assert first["kind"] == "state"
    assert [pool["name"] for pool in first["pools"]] == ["square"]
    page.finish(page.run("list(square.map(range(20)))"))
    page.listen(lambda: any(_done(m) == "20" for m in page.custom(charts)[1:]))
    kinds = [message["kind"] for message in page.custom(charts)]
    assert set(kinds[1:]) == {"delta"}
    marks = [m for d in page.custom(charts)[1:] for p in d["pools"] for m in p.get("marks", [])]
    assert marks[0]["kind"] == "ready"
    assert "engine started" in "".join(page.texts()), "and nothing else was printed"
    assert len(page.texts()) == 1


def _done(message: dict[str, Any]) -> str:
    figures = [f for pool in message["pools"] for f in pool.get("figures", [])]
    return str(dict(figures).get("done", ""))


@pytest.mark.parametrize("rounds", [3])
def test_slider_acts_while_a_cell_is_busy(page: Page, tmp_path: Path, rounds: int) -> None:
    charts = _show(page)
    slider = page.find("IntSliderModel", 1)
    cell = page.run(BUSY)
    for value in range(3, 3 + rounds):
        sent = time.monotonic()
        page.send(slider, {"method": "update", "state": {"value": value}, "buffer_paths": []})
        applied = page.listen(functools.partial(_applied, page, charts, value))
        assert applied - sent < 2.0, "0.3 s on a calm machine"
    (tmp_path / "gate").touch()
    page.finish(cell)


def _applied(page: Page, charts: str, value: int) -> float | None:
    """When the page was told that a maximum is in force."""
    for name, content in page.heard:
        if name == "comm_msg" and content["comm_id"] == charts:
            for pool in content["data"].get("content", {}).get("pools", []):
                if any(mark["text"].endswith(f"→ {value}") for mark in pool.get("marks", [])):
                    return float(content["at"])
    return None


def test_log_of_a_container_is_told_while_a_cell_is_busy(page: Page, tmp_path: Path) -> None:
    charts = _show(page)
    page.finish(page.run("@app.function()\ndef talk():\n    print('hello from a container')"))
    page.finish(page.run("talk.remote()"))
    page.listen(lambda: _containers(page, charts))
    cell = page.run(BUSY)
    for name in _containers(page, charts):
        page.send(charts, {"method": "custom", "content": {"kind": "log", "container": name}})
    logs = page.listen(lambda: [m for m in page.custom(charts) if m["kind"] == "log"])
    assert logs[0]["lines"] == [["stdout", "hello from a container\n"]]
    (tmp_path / "gate").touch()
    page.finish(cell)


def _containers(page: Page, charts: str) -> list[str]:
    return [
        row[0]
        for message in page.custom(charts)
        for pool in message.get("pools", [])
        for row in pool.get("containers", [])
    ]


def test_result_is_kept_when_the_app_stops(page: Page) -> None:
    """What a notebook saves is the last that was sent: a picture of how it ended, no widget."""
    charts = _show(page)
    page.finish(page.run("list(square.map(range(20))); app.stop()"))
    page.listen(lambda: any(k == "comm_close" and c["comm_id"] == charts for k, c in page.heard))
    page.listen(lambda: len(_last(page)) == 2 and "" in {_html(c) for c in _last(page).values()})
    view, picture = sorted(_last(page).values(), key=lambda content: len(_html(content)))
    assert _html(view) == ""
    assert "20 done inputs" in _html(picture)
    assert all("widget" not in kind for c in (view, picture) for kind in c["data"])


def _last(page: Page) -> dict[str, dict[str, Any]]:
    """What was shown last under each display id."""
    kinds = ("display_data", "update_display_data")
    return {c["transient"]["display_id"]: c for k, c in page.heard if k in kinds}


def test_picture_beside_a_live_view_follows_it(page: Page) -> None:
    """A kernel that dies takes the live view along; what is saved by then is not long ago."""
    page.finish(page.run("import modalnb.notebook.dashboard as d; d.SAVE_SECONDS = 0.2"))
    charts = _show(page)
    page.finish(page.run("list(square.map(range(20)))"))
    page.listen(lambda: any("20 done inputs" in _html(c) for c in _last(page).values()))
    pictures = [c for c in _last(page).values() if "modalnb-saved-" in _html(c)]
    assert len(pictures) == 1
    hidden = re.search(r"modalnb-saved-\w+", _html(pictures[0]))
    assert hidden
    styles = [state["value"] for state in page.opened().values() if "value" in state]
    assert any(f".{hidden[0]} {{ display: none; }}" in str(style) for style in styles)
    assert page.custom(charts)


def _html(content: dict[str, Any]) -> str:
    return str(content["data"].get("text/html", ""))


def test_notebook_that_runs_by_itself_keeps_a_picture_without_widgets(tmp_path: Path) -> None:
    cells = [PRELUDE, "app.dashboard()", "list(square.map(range(20)))", "app.stop()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ROOT)
        NotebookClient(notebook, kernel_name="python3", timeout=120).execute(cwd=str(tmp_path))
    [shown] = [output for output in notebook.cells[1].outputs if "data" in output]
    assert sorted(shown.data) == ["text/html", "text/plain"]
    assert shown.data["text/plain"] == "<Dashboard of my-app: square>"
    assert "20 done inputs" in shown.data["text/html"]
    assert "widgets" not in notebook.metadata
