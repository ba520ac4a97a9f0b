"""Fixtures of the notebook's tests: a real IPython with the extension in it."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from modalnb.api import current
from modalnb.api.waiting import ask


class Shell:
    """An IPython that runs cells and says what they showed."""

    def __init__(self, ip: Any) -> None:
        self.ip = ip

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]

    def run(self, code: str) -> SimpleNamespace:
        """Run a cell; returns its `out`, `err`, `displays`, and its `error` or `result`."""
        with capture_output(display=True) as captured:
            done = self.ip.run_cell(code, store_history=True)
        return SimpleNamespace(
            out=_plain(captured.stdout),
            err=_plain(captured.stderr),
            displays=[dict(output.data) for output in captured.outputs],
            error=done.error_before_exec or done.error_in_exec,
            result=done.result,
        )


def _plain(text: str) -> str:
    """The text without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(scope="module")
def ipython(engine: None) -> Iterator[Any]:
    """One IPython for the tests of a module; afterwards this process has none again."""
    main, known = sys.modules["__main__"], set(vars(builtins))
    hook = sys.excepthook
    config = Config()
    config.HistoryManager.enabled = False
    config.TerminalInteractiveShell.colors = "nocolor"
    ip = TerminalInteractiveShell.instance(config=config)
    ip.run_line_magic("load_ext", "modalnb")
    yield ip
    ip.run_line_magic("unload_ext", "modalnb")
    TerminalInteractiveShell.clear_instance()
    InteractiveShell.clear_instance()
    sys.modules["__main__"], sys.excepthook = main, hook
    for name in set(vars(builtins)) - known:
        delattr(builtins, name)


@pytest.fixture
def shell(ipython: Any) -> Iterator[Shell]:
    """The IPython, without names of earlier tests; the plane is checked after the test."""
    ipython.reset(new_session=False)
    yield Shell(ipython)
    ask(current.stub(), "validate")
