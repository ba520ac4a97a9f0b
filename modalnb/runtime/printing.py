"""Sends what user code prints to the caller, line by line, without ever blocking the user code."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from modalnb import messages as m
from modalnb.runtime import context

#: Lines that wait to be sent at most; beyond it the oldest are counted and dropped.
MAX_LINES = 10_000
MAX_LINE_CHARS = 16_384

#: (call id or None, stream name, text)
Line = tuple[str | None, str, str]


class Printer:
    """Gathers lines of all streams and hands them to the loop of the container."""

    def __init__(self, send: Callable[[list[Line]], None], loop: Any) -> None:
        self._send = send
        self._loop = loop
        self._lines: list[Line] = []
        self._dropped = 0
        self._lock = threading.Lock()

    def add(self, lines: Iterable[Line]) -> None:
        """Queue lines; the loop sends them as soon as it can."""
        with self._lock:
            is_idle = not self._lines
            for line in lines:
                if len(self._lines) < MAX_LINES:
                    self._lines.append(line)
                else:
                    self._dropped += 1
        if is_idle:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.flush)

    def flush(self) -> None:
        """Send what is queued; runs on the loop."""
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append((lines[-1][0], "stderr", f"[{dropped:,} more lines were dropped]\n"))
        if lines:
            self._send(lines)


class CallerStream(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``: lines go to the caller of the running input.

    What is printed outside of any input goes to `fallback`, or to whoever waits for this
    container if there is none.
    """

    def __init__(self, name: str, fd: int, fallback: Any) -> None:
        self._name = name
        self._fd = fd
        self._fallback = fallback
        self._partial: dict[str | None, str] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Text is sent as UTF-8."""
        return "utf-8"

    @property
    def name(self) -> str:
        """The name that the interpreter's own stream has."""
        return f"<{self._name}>"

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def fileno(self) -> int:
        """The descriptor, for code that writes below Python."""
        return self._fd

    def write(self, text: str) -> int:
        """Queue the complete lines of `text`; a started line waits for its end or a flush."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        current = context.current.get()
        if current is None and self._fallback is not None:
            return int(self._fallback.write(text))
        call_id = current.call_id if current else None
        whole, newline, rest = (self._partial.pop(call_id, "") + text).rpartition("\n")
        if len(rest) > MAX_LINE_CHARS:
            whole, newline, rest = whole + newline + rest, "", ""
        if rest:
            self._partial[call_id] = rest
        if whole or newline:
            self._send([(call_id, self._name, whole + newline)])
        return len(text)

    def flush(self) -> None:
        """Queue started lines too."""
        if self._fallback is not None:
            # Whoever started this process may be gone, and his end of the pipe with him.
            with contextlib.suppress(OSError, ValueError):
                self._fallback.flush()
        if self._partial:
            partial, self._partial = self._partial, {}
            self._send([(call_id, self._name, text) for call_id, text in partial.items()])

    def _send(self, lines: list[Line]) -> None:
        home = context.home()
        if home is not None:
            home.printer.add(lines)


def flush_streams() -> None:
    """Queue what an input printed without a newline, before its output is reported."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, CallerStream):
            stream.flush()


def display(message: str) -> None:
    """Send rich output, as JSON text, in its place among the lines of the running input."""
    flush_streams()
    now, home = context.current.get(), context.home()
    if home is not None:
        home.printer.add([(now.call_id if now else None, m.DISPLAY, message)])


def take_over(*, is_ours: bool) -> None:
    """Let this process print to its callers; logging and warnings follow ``sys.stderr``.

    In a process of somebody else's, what is printed outside of inputs stays where it was.
    """
    if not isinstance(sys.stdout, CallerStream):
        sys.stdout = CallerStream("stdout", 1, None if is_ours else sys.stdout)
    if not isinstance(sys.stderr, CallerStream):
        sys.stderr = CallerStream("stderr", 2, None if is_ours else sys.stderr)
