"""Which form views take here: live, basic widgets, a still picture, or text."""

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
    shell = _shell()
    if getattr(shell, "kernel", None) is None:
        return "text"
    if not is_attended(shell) or not _is_installed("ipywidgets"):
        return "html"
    return "live" if _is_installed("anywidget") else "basic"


def is_attended(shell: Any) -> bool:
    """Whether somebody looks at the page while its cells run."""
    # Voila runs the cells by itself, for somebody who looks at the page.
    is_voila = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
    return is_run_by_hand(shell) or (is_voila and _may_interact(shell))


def is_run_by_hand(shell: Any) -> bool:
    """Whether somebody runs the cells: front ends that run them by themselves have no stdin."""
    if not _may_interact(shell):
        return False
    return bool(shell.kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def _may_interact(shell: Any) -> bool:
    is_forbidden = os.environ.get("MODALNB_NONINTERACTIVE", "0") != "0"
    return getattr(shell, "kernel", None) is not None and not is_forbidden


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
