"""Errors of cells in containers, shown as those of cells here: with the cell's own lines only."""

from __future__ import annotations

import functools
import sys
import traceback
from contextlib import suppress
from types import TracebackType
from typing import Any

from modalnb.payload.failure import users_part


def trimmed(error: BaseException, shell: Any) -> BaseException:
    """The error, to be raised so that IPython shows neither its own frames nor ours."""
    trace = users_part(error.__traceback__)
    with suppress(AttributeError, TypeError):
        # IPython asks an exception for this before it formats it.
        error._render_traceback_ = functools.partial(_render, shell, error, trace)  # type: ignore[attr-defined]
    return error.with_traceback(trace)


def _render(shell: Any, error: BaseException, trace: TracebackType | None) -> list[str]:
    if trace is None:
        return list(shell.InteractiveTB.get_exception_only(type(error), error))
    return list(shell.InteractiveTB.structured_traceback(type(error), error, trace))


def show(shell: Any, error: BaseException, parent: Any) -> None:
    """Show an error in the cell that it belongs to, though that cell has ended."""
    lines = _render(shell, error, users_part(error.__traceback__))
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        traceback.print_exception(error, file=sys.stderr)
        return
    content = {"ename": type(error).__name__, "evalue": str(error), "traceback": lines}
    kernel.session.send(kernel.iopub_socket, "error", content, parent=parent)
