"""The IPython of a container that runs cells: what they display goes to the caller, live."""

from __future__ import annotations

import base64
import json
import os
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

from modalnb.runtime import printing

#: A display of more characters is not sent.
MAX_CHARS = 16_000_000
#: Widgets have their other half in the notebook's kernel, so those of a container cannot be shown.
_WIDGET = "application/vnd.jupyter.widget-view+json"
_INLINE = "module://matplotlib_inline.backend_inline"

#: The namespace of the cell that runs in this thread or task.
_namespace: ContextVar[dict[str, Any] | None] = ContextVar("modalnb_namespace", default=None)


class CellPublisher(DisplayPublisher):
    """Sends what a cell displays to whoever waits for the cell."""

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        """Send one mime bundle, or the new content of an earlier one."""
        self._send(
            {
                "data": {kind: part for kind, part in data.items() if kind != _WIDGET},
                "metadata": metadata or {},
                "transient": transient or {},
                "update": update,
            }
        )

    def clear_output(self, wait: bool = False) -> None:
        """Ask the caller to clear what the cell has shown."""
        self._send({"clear": True, "wait": wait})

    @staticmethod
    def _send(message: dict[str, Any]) -> None:
        text = json.dumps(message, default=_as_json)
        if len(text) > MAX_CHARS:
            plain = str(message["data"].get("text/plain", ""))[:1000]
            words = f"{len(text) / 1e6:.0f} MB of rich output were left out"
            message["data"] = {"text/plain": f"{plain}\n[{words}]"}
            text = json.dumps(message, default=_as_json)
        printing.display(text)


def _as_json(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


class _Main(types.ModuleType):
    """The module ``__main__``, whose names are those of the cell that runs in this thread."""

    def __getattr__(self, name: str) -> Any:
        try:
            return (_namespace.get() or {})[name]
        except KeyError:
            raise AttributeError(f"module '__main__' has no attribute {name!r}") from None


class CellShell(InteractiveShell):
    """An IPython without prompt and history, whose namespace is that of the running cell."""

    display_pub_class = Type(CellPublisher)

    @property
    def user_ns(self) -> dict[str, Any]:
        """The names of the cell."""
        running = _namespace.get()
        return self._idle_ns if running is None else running

    @user_ns.setter
    def user_ns(self, namespace: dict[str, Any]) -> None:
        self._idle_ns = namespace


_making = threading.Lock()


def cell_shell() -> InteractiveShell:
    """The IPython of this process; made for the first cell, unless the process had one before."""
    with _making:
        return InteractiveShell.instance() if InteractiveShell.initialized() else _make()


def _make() -> CellShell:
    # Pictures are shown in the cell, as in a notebook.
    os.environ.setdefault("MPLBACKEND", _INLINE)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.display_page = True
    return CellShell.instance(  # type: ignore[no-any-return]
        config=config, user_module=_Main("__main__"), user_ns={}
    )


@contextmanager
def at_work(namespace: dict[str, Any]) -> Iterator[InteractiveShell]:
    """Let a cell run with its namespace; figures that it left open are shown at its end."""
    shell = cell_shell()
    namespace["get_ipython"] = shell.get_ipython
    token = _namespace.set(namespace)
    try:
        yield shell
    finally:
        shell.events.trigger("post_execute")
        _namespace.reset(token)
