"""Which form a dashboard takes here: live, basic widgets, a still picture, or text."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any, Literal, cast

from modalnb.exception import InvalidError

Mode = Literal["live", "basic", "html", "text"]

VARIABLE = "MODALNB_WIDGETS"
CHOICES = ("live", "basic", "html", "text")


def mode() -> Mode:
    """What was asked for by the environment, else the best that this process can show.

    Raises
    ------
    InvalidError
        If ``MODALNB_WIDGETS`` is none of ``live``, ``basic``, ``html`` and ``text``.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked and asked not in CHOICES:
        raise InvalidError(f"`{VARIABLE}` must be one of {', '.join(CHOICES)}; got {asked!r}.")
    if asked:
        return cast(Mode, asked)
    if kernel() is None:
        return "text"
    if os.environ.get("MODALNB_NONINTERACTIVE", "0") != "0" or not _is_installed("ipywidgets"):
        return "html"
    return "live" if _is_installed("anywidget") else "basic"


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def kernel() -> Any:
    """The kernel that this process is, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)
