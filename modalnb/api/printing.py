"""Shows what containers print, in the cell or terminal that made the call."""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
from contextlib import suppress
from typing import Any

from modalnb import messages as m
from modalnb.configuration import config

#: (container id, stream, text)
Line = tuple[str, str, str]


class Sink:
    """Where the output of one call is shown: the cell that made it, or the terminal."""

    __slots__ = ("_function", "_parent", "_pending")

    def __init__(self, function: str) -> None:
        self._function = function
        self._parent = running_cell()
        #: Set when everything that was put has been shown.
        self._pending = 0

    def put(self, lines: list[Line]) -> None:
        """Show lines soon, on a thread of their own: a slow terminal must not hold up outputs."""
        self._pending += 1
        _writer.put(self, lines)

    def flush(self) -> None:
        """Wait until what has been put so far is shown."""
        if self._pending:
            _writer.join()

    def show(self, lines: list[Line]) -> None:
        """Write the lines; on the writer's thread."""
        for container_id, name, text in lines:
            if name == m.DISPLAY:
                # A front end that is gone must not keep others from seeing their lines.
                with suppress(Exception):
                    show_rich(json.loads(text), self._parent)
                continue
            stream = sys.stderr if name == "stderr" else sys.stdout
            shown = _tagged(text, self._function, container_id) if config.log_tags else text
            token = _enter_cell(stream, self._parent)
            try:
                stream.write(shown)
                stream.flush()
            except (ValueError, OSError):
                pass  # the stream was closed by its owner; nobody can see the lines
            finally:
                if token is not None:
                    stream.reset_thread_parent(token)  # type: ignore[union-attr]
        self._pending -= 1


class _Writer:
    """One thread that writes for all sinks, started when there is something to write."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Sink, list[Line]]] = queue.Queue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, sink: Sink, lines: list[Line]) -> None:
        self._queue.put((sink, lines))
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="modalnb-printer", daemon=True
                )
                self._thread.start()

    def join(self) -> None:
        if threading.current_thread() is not self._thread:
            self._queue.join()

    def _run(self) -> None:
        while True:
            sink, lines = self._queue.get()
            try:
                sink.show(lines)
            finally:
                self._queue.task_done()


_writer = _Writer()


def show_rich(message: dict[str, Any], parent: Any) -> None:
    """Show rich output as IPython would; elsewhere its text."""
    shell = _shell()
    if shell is None:
        if "data" in message:
            sys.stdout.write(message["data"].get("text/plain", "") + "\n")
        return
    publisher = shell.display_pub
    token = _enter_cell(publisher, parent)
    try:
        if message.get("clear"):
            publisher.clear_output(message["wait"])
        else:
            publisher.publish(
                message["data"],
                message["metadata"],
                transient=message["transient"],
                update=message["update"],
            )
    finally:
        if token is not None:
            publisher.reset_thread_parent(token)


def _tagged(text: str, function: str, container_id: str) -> str:
    tag = f"[{function} {container_id}] "
    return re.sub(r"^(?=.)", tag, text, flags=re.MULTILINE)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def running_cell() -> Any:
    """The header of the cell that runs, where the front end is a notebook."""
    kernel = getattr(_shell(), "kernel", None)
    if kernel is None:
        return None
    with suppress(Exception):
        return kernel.get_parent("shell")
    return None


def _enter_cell(stream: Any, parent: Any) -> Any:
    """Let this thread show things in that cell; ipykernel offers it from 7.4 on."""
    if parent is None or not hasattr(stream, "set_thread_parent"):
        return None
    return stream.set_thread_parent(parent)
