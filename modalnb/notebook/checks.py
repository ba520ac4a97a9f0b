"""``%modalnb doctor``: looks at what a notebook depends on, and says what to do where it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable
from typing import Any

from modalnb.api import current
from modalnb.configuration import config
from modalnb.exception import InvalidError
from modalnb.notebook.mode import is_attended, mode
from modalnb.notebook.tables import Table

_CELLS_WAIT = "widgets answer when the running cell has ended; update ipykernel to 7 or later"


def doctor(shell: Any = None) -> Table:
    """What this notebook has, and the cure for each thing that it lacks."""
    checks: tuple[tuple[str, Callable[[Any], tuple[str, str]]], ...] = (
        ("python", lambda _: (f"{sys.version.split()[0]} at {sys.executable}", "")),
        ("modalnb", lambda _: (_version("modalnb"), "")),
        ("front end", _front_end),
        ("kernel", _kernel),
        ("ipywidgets", _ipywidgets),
        ("anywidget", _anywidget),
        ("engine", _engine),
        ("GPU", _gpu),
        ("switches", _switches),
    )
    results = [(name, *check(shell)) for name, check in checks]
    facts = [{"check": name, "finding": text, "cure": cure} for name, text, cure in results]
    return Table(("", "found", "what to do"), results, facts, title="modalnb doctor")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _front_end(shell: Any) -> tuple[str, str]:
    if shell is None:
        return "none: a plain Python", ""
    if getattr(shell, "kernel", None) is None:
        return "a terminal: text in place of cards and views", ""
    if is_attended(shell):
        return "a notebook", ""
    return "a notebook that runs by itself: `%%remote` cells wait for their end", ""


def _kernel(shell: Any) -> tuple[str, str]:
    version = _version("ipykernel")
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "none", ""
    if getattr(kernel, "_supports_kernel_subshells", False):
        return f"ipykernel {version} with subshells: buttons work during a busy cell", ""
    return f"ipykernel {version} without subshells", _CELLS_WAIT


def _ipywidgets(_: Any) -> tuple[str, str]:
    version = _version("ipywidgets")
    if not version:
        return "not installed: cards have no Cancel button", "pip install ipywidgets"
    if mode() in ("html", "text"):
        return f"{version}, not used: views are drawn as {mode()}", ""
    return version, ""


def _anywidget(_: Any) -> tuple[str, str]:
    version = _version("anywidget")
    if not version:
        return "not installed: views are drawn without it", "pip install anywidget"
    return f"{version}; VS Code and Colab fetch its loader from a CDN, Jupyter does not", ""


def _engine(_: Any) -> tuple[str, str]:
    session = current.session()
    if session is None or not session.is_open:
        return "none runs; the first call starts one", ""
    return f"{session.kind} at {session.address}", ""


def _gpu(_: Any) -> tuple[str, str]:
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            return f"{pynvml.nvmlDeviceGetCount()} found by NVML", ""
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return f"none found by NVML ({error})", "without one, use `gpu=None`"


def _switches(_: Any) -> tuple[str, str]:
    names = sorted(name for name in os.environ if name.startswith("MODALNB_"))
    return ", ".join(f"{name}={os.environ[name]}" for name in names) or "none set", ""


def configure(words: list[str]) -> Table:
    """Change settings of :data:`modalnb.config` given as ``NAME=VALUE``; returns all of them."""
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise InvalidError(f"`%modalnb config` needs NAME=VALUE; got {word!r}.")
        setattr(config, name, _parsed(getattr(config, name, 0.0), text))
    values = config.to_dict()
    rows = [(name, str(value)) for name, value in values.items()]
    return Table(("setting", "value"), rows, [values], title="modalnb.config")


def _parsed(old: Any, text: str) -> Any:
    if isinstance(old, bool):
        if text.lower() in ("1", "true", "on", "yes"):
            return True
        return False if text.lower() in ("0", "false", "off", "no") else text
    try:
        return float(text) if isinstance(old, float) else int(text)
    except ValueError:
        return text
