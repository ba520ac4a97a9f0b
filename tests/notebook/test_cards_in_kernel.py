"""A real ipykernel: outputs arrive live in their cells, cards freeze, interrupts cancel."""

from __future__ import annotations

import os
import re
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

import modalnb

ROOT = str(Path(modalnb.__file__).parents[1])

SETUP = """
%load_ext modalnb
import modalnb as modal
import threading
app = modal.App("kernel")

@app.function(max_containers=2)
def nap(x):
    print("nap", x)
    threading.Event().wait(0.1 if x >= 0 else 600)
    return x
"""


class Cell:
    """One execution: the messages that carry its id, whenever they come."""

    def __init__(self, notebook: Notebook, msg_id: str) -> None:
        self._notebook = notebook
        self.msg_id = msg_id
        self.messages: list[tuple[float, Any]] = []
        self.reply: dict[str, Any] | None = None

    def kinds(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of the messages of these kinds."""
        return [m["content"] for _, m in self.messages if m["msg_type"] in kinds]

    @property
    def out(self) -> str:
        """What it printed on stdout."""
        return "".join(c["text"] for c in self.kinds("stream") if c["name"] == "stdout")

    @property
    def cards(self) -> list[str]:
        """The text of its card, as it was shown and changed."""
        kinds = self.kinds("display_data", "update_display_data")
        return [
            content["data"]["text/plain"]
            for content in kinds
            if "modalnb" in content["transient"].get("display_id", "")
        ]

    @property
    def errors(self) -> list[str]:
        """The tracebacks that it shows."""
        texts = ["\n".join(content["traceback"]) for content in self.kinds("error")]
        return [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in texts]

    def wait(self, condition: Any, seconds: float = 60) -> None:
        """Take in messages until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, [m["content"] for _, m in self.messages]
            self._notebook.receive(0.1)

    def wait_end(self) -> Cell:
        """Wait for the reply to the cell."""
        self.wait(lambda: self.reply is not None and self._is_idle())
        return self

    def _is_idle(self) -> bool:
        return any(status["execution_state"] == "idle" for status in self.kinds("status"))


class Notebook:
    """A kernel and who talks to it; `attended` says that a person could answer."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client
        self.attended = True
        self._cells: dict[str, Cell] = {}

    def start(self, code: str) -> Cell:
        """Run a cell without waiting for it."""
        msg_id = self.client.execute(textwrap.dedent(code), allow_stdin=self.attended)
        cell = self._cells[msg_id] = Cell(self, msg_id)
        return cell

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        return self.start(code).wait_end()

    def receive(self, seconds: float) -> None:
        """Take in what has come."""
        for get, is_reply in (
            (self.client.get_iopub_msg, False),
            (self.client.get_shell_msg, True),
        ):
            try:
                message = get(timeout=seconds if not is_reply else 0)
            except Exception:
                continue
            cell = self._cells.get(message["parent_header"].get("msg_id"))
            if cell is not None and is_reply:
                cell.reply = message["content"]
            elif cell is not None:
                cell.messages.append((time.monotonic(), message))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "PYTHONPATH": ROOT})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    notebook = Notebook(manager, client)
    notebook.run(SETUP)
    yield notebook
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def notebook(kernel: Notebook) -> Notebook:
    kernel.attended = True
    return kernel


def _widgets(notebook: Notebook) -> int:
    cell = notebook.run("import ipywidgets\nprint(len(ipywidgets.Widget.widgets))")
    return int(cell.out)


def test_loading_starts_nothing(notebook: Notebook) -> None:
    """The first cells of this kernel loaded the extension and declared a function."""
    cell = notebook.run(
        "from modalnb.api import current\n"
        "print(current.session(), [t.name for t in threading.enumerate() if 'modalnb' in t.name])"
    )
    assert cell.out == "None []\n"


def test_attended_cell_returns_at_once_and_shows_what_comes(notebook: Notebook) -> None:
    cell = notebook.run(
        """
        %%remote -n live
        print("hello")
        threading.Event().wait(0.7)
        display({"text/plain": "rich", "text/html": "<b>rich</b>"}, raw=True)
        value = 6 * 7
        value + 1
        """.strip()
    )
    assert len(cell.cards) == 1
    assert cell.cards[0].startswith("j1 live: queued")
    other = notebook.run("print('meanwhile')")
    later = notebook.start("print(value)")
    cell.wait(lambda: len(cell.cards) > 1)
    later.wait_end()
    assert later.out == "42\n", "a cell that mentions the name waits for it"
    assert other.out == "meanwhile\n", "what a job prints goes to its own cell"
    assert "hello\n" in cell.out
    shown = [content["data"] for content in cell.kinds("display_data")][1:]
    assert [data["text/plain"] for data in shown] == ["rich", "43"]
    assert shown[0]["text/html"] == "<b>rich</b>"
    assert "done" in cell.cards[-1]
    assert "Brought back value." in cell.cards[-1]


def test_error_of_a_cell_appears_in_it_though_it_has_ended(notebook: Notebook) -> None:
    cell = notebook.run("%%remote -n live\nx = 1\nraise ValueError('here')  # the line")
    cell.wait(lambda: cell.errors and len(cell.cards) > 1)
    assert "----> 3 raise ValueError('here')  # the line" in cell.errors[0]
    assert "site-packages" not in cell.errors[0]
    assert "failed" in cell.cards[-1]
    assert notebook.run("print('next')").out == "next\n"


def test_blocking_cell_that_fails_stops_those_after_it(notebook: Notebook) -> None:
    cell = notebook.start("%%remote -n live -b\n1 / 0")
    after = notebook.start("print('after')")
    cell.wait_end()
    after.wait(lambda: after.reply is not None)
    assert "----> 2 1 / 0" in cell.errors[0]
    assert after.reply is not None
    assert after.reply["status"] == "aborted"


def test_card_of_a_map_lives_and_freezes_without_a_trace(notebook: Notebook) -> None:
    before = _widgets(notebook)
    cell = notebook.run("results = list(nap.map(range(20)))")
    shown = cell.kinds("display_data")[0]["data"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert "freezes here when the job ends" in shown["text/html"], "where there are no widgets"
    last = cell.kinds("update_display_data")[-1]["data"]
    assert sorted(last) == ["text/html", "text/plain"]
    assert re.search(r"done 20 of 20, \d containers?, .* s, .*inputs/s", last["text/plain"])
    drawn = [c["data"]["state"]["value"] for c in cell.kinds("comm_msg") if "state" in c["data"]]
    assert len(drawn) >= 2
    assert any("running" in card and "nap " in card for card in drawn)
    assert cell.kinds("comm_close")
    assert _widgets(notebook) == before


def test_short_calls_leave_no_card(notebook: Notebook) -> None:
    notebook.run("nap.remote(0)")
    cell = notebook.run("for n in range(4): nap.remote(n)")
    assert cell.kinds("display_data") == []
    assert cell.kinds("comm_open") == []


def test_calls_of_one_function_share_the_card_of_their_cell(notebook: Notebook) -> None:
    cell = notebook.run(
        """
        import asyncio
        await asyncio.gather(*(nap.remote.aio(n) for n in range(12)))
        nap.spawn_map(range(6)).get(index=5)
        """
    )
    assert len(cell.kinds("display_data")) == 1
    assert "done 13 of 13" in cell.cards[-1]


def test_streams_have_a_card(notebook: Notebook) -> None:
    notebook.run(
        "@app.function(max_containers=2)\ndef count(n):\n    for x in range(n):\n"
        "        threading.Event().wait(0.1)\n        yield x"
    )
    cell = notebook.run("print(sum(count.remote_gen(8)))")
    assert cell.out == "28\n"
    assert re.match(r"j\d+ count: done", cell.cards[-1])


def test_cards_can_be_turned_off(notebook: Notebook) -> None:
    cell = notebook.run("modal.config.progress = False\nlist(nap.map(range(8)))")
    assert cell.kinds("display_data") == []
    cell = notebook.run("modal.config.progress = True\nlist(nap.map(range(8), progress=False))")
    assert cell.kinds("display_data") == []


def test_interrupt_cancels_the_inputs_and_the_cells_that_follow(notebook: Notebook) -> None:
    cell = notebook.start("list(nap.map([-1] * 50))")
    after = notebook.start("print('after')")
    cell.wait(lambda: "nap -1" in cell.out)
    notebook.manager.interrupt_kernel()
    cell.wait_end()
    after.wait(lambda: after.reply is not None)
    assert cell.reply is not None
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert after.reply is not None
    assert after.reply["status"] == "aborted"
    assert "interrupted after 0 of 50" in cell.cards[-1]
    check = notebook.run(
        "import time\nend = time.monotonic() + 20\n"
        "while nap.snapshot().demand and time.monotonic() < end: time.sleep(0.05)\n"
        "print(nap.snapshot().demand)"
    )
    assert check.out == "0\n"


def test_interrupt_of_a_blocking_cell_cancels_its_container(notebook: Notebook) -> None:
    cell = notebook.start("%%remote -n live -b\nprint('begun')\nthreading.Event().wait(600)")
    cell.wait(lambda: "begun" in cell.out)
    notebook.manager.interrupt_kernel()
    cell.wait_end()
    assert cell.reply is not None
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert "interrupted" in cell.cards[-1]


def test_unattended_front_end_waits_and_has_no_widgets(notebook: Notebook) -> None:
    """Nbconvert, papermill and the like say that nobody can answer a question."""
    notebook.attended = False
    cell = notebook.run("%%remote -n live\nthere = 1\nthreading.Event().wait(0.5)")
    assert cell.kinds("comm_open") == []
    assert "done" in cell.cards[-1]
    assert notebook.run("print(there)").out == "1\n"


def test_cards_without_widgets_are_replaced(notebook: Notebook) -> None:
    notebook.run("import os; os.environ['MODALNB_WIDGETS'] = 'html'")
    cell = notebook.run("%%remote -n live -b\nthreading.Event().wait(2.5)")
    notebook.run("del os.environ['MODALNB_WIDGETS']")
    assert cell.kinds("comm_open") == []
    assert [card.split(": ")[1].split(",")[0] for card in cell.cards] == [
        "queued",
        "running",
        "done",
    ]


def test_noninteractive_shows_no_cards(notebook: Notebook) -> None:
    notebook.run("import os; os.environ['MODALNB_NONINTERACTIVE'] = '1'")
    cell = notebook.run("%%remote -n live -o two\n1 + 1")
    notebook.run("del os.environ['MODALNB_NONINTERACTIVE']")
    assert [content["data"]["text/plain"] for content in cell.kinds("display_data")] == ["2"]


def test_unloading_leaves_the_bar(notebook: Notebook) -> None:
    notebook.run("%unload_ext modalnb")
    cell = notebook.run("list(nap.map(range(12)))")
    assert cell.cards == []
    assert cell.reply is not None
    assert cell.reply["status"] == "ok"
    assert "`%%remote` not found" in str(notebook.run("%%remote\n1").kinds("stream"))
    notebook.run("%load_ext modalnb")
