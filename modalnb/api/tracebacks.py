"""Keeps modalnb's own frames out of the traceback that ends a script."""

from __future__ import annotations

import sys
from types import TracebackType

from modalnb.payload.failure import without_ours


def hide_our_frames() -> None:
    """Filter what the interpreter shows of an uncaught exception, unless someone else does.

    IPython and pytest leave our frames out by themselves, because of ``__tracebackhide__``.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, without_ours(trace))
