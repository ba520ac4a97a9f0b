"""What keeps web code whole on its way to containers, where pickling alone would lose some."""

from __future__ import annotations
import __future__

import copyreg
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

_WORD = re.compile(r"[A-Za-z_]\w*")


def annotation_names(raw: Callable[..., Any]) -> dict[str, Any]:
    """The types that functions inside of a function name in annotations only.

    With ``from __future__ import annotations`` these are text, so pickling by value leaves out what
    they stand for; frameworks such as FastAPI look it up by name when the app is built.
    """
    code, known = getattr(raw, "__code__", None), getattr(raw, "__globals__", {})
    if code is None or not code.co_flags & __future__.annotations.compiler_flag:
        return {}
    words = {word for text in _texts(code) for word in _WORD.findall(text)}
    return {word: known[word] for word in words if _is_type(known.get(word))}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, types.CodeType | tuple):
        for part in value.co_consts if isinstance(value, types.CodeType) else value:
            yield from _texts(part)


def _is_type(value: Any) -> bool:
    return isinstance(value, type | types.ModuleType) or type(value).__module__ == "typing"


def add_names(raw: Callable[..., Any], names: dict[str, Any]) -> None:
    """Give a function, on arrival, what :func:`annotation_names` found."""
    known: dict[str, Any] = getattr(raw, "__globals__", {})
    for name, value in names.items():
        known.setdefault(name, value)


def let_apps_travel() -> None:
    """Make apps of Starlette and FastAPI that stand in a module picklable, if there can be any."""
    starlette = sys.modules.get("starlette.datastructures")
    if starlette is not None:
        # Rebuilt from nothing, its `__getattr__` calls itself for ever.
        copyreg.pickle(starlette.State, _reduce_state)


def _reduce_state(state: Any) -> tuple[Any, ...]:
    return type(state), (dict(state._state),)
