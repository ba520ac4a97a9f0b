"""What ``%load_ext modalnb`` turns on in IPython, and ``%unload_ext`` turns off again."""

from __future__ import annotations

from typing import Any

from modalnb.api import viewing
from modalnb.notebook.completion import matcher_of
from modalnb.notebook.magics import ModalnbMagics
from modalnb.notebook.session import NotebookSession

_loaded: _Loaded | None = None


class _Loaded:
    """One IPython with the extension in it."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.session = NotebookSession(shell)
        self.magics = ModalnbMagics(shell, self.session)
        self._matcher = matcher_of(self.session, self.magics)
        shell.register_magics(self.magics)
        shell.Completer.custom_matchers.append(self._matcher)
        shell.ast_transformers.append(self.session.pending)
        shell.events.register("post_run_cell", self.session.board.end_cell)
        viewing.make = self.session.board.view

    def unload(self) -> None:
        """Take everything out again; jobs under way go on."""
        viewing.make = None
        self.session.board.close()
        self.shell.events.unregister("post_run_cell", self.session.board.end_cell)
        self.shell.ast_transformers.remove(self.session.pending)
        self.shell.Completer.custom_matchers.remove(self._matcher)
        for kind, names in self.magics.magics.items():
            for name in names:
                self.shell.magics_manager.magics[kind].pop(name, None)


def load(shell: Any) -> None:
    """Load the extension into an IPython; a second time changes nothing."""
    global _loaded
    if _loaded is None or _loaded.shell is not shell:
        unload()
        _loaded = _Loaded(shell)


def unload() -> None:
    """Take the extension out of IPython; nothing happens if it is not there."""
    global _loaded
    if _loaded is not None:
        _loaded.unload()
        _loaded = None


def session() -> NotebookSession | None:
    """The session of the notebook that has the extension; None without it."""
    return _loaded.session if _loaded is not None else None


def wait(*names: str) -> None:
    """Wait for names that a cell in a container will bring back."""
    __tracebackhide__ = True
    if _loaded is not None:
        _loaded.session.pending.wait(*names)
