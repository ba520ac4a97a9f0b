"""Finds the part of a value that cannot be pickled, and the path that leads to it."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

import cloudpickle

MAX_DEPTH = 12
MAX_ITEMS = 200


def find_culprit(value: Any, what: str, error: BaseException) -> str:
    """The text of a SerializationError: what, where in `value`, and why."""
    path, culprit = _descend(value, what, 0, set())
    kind = type(culprit)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    where = f"`{path}`" if path != what else f"the {what}" if " " in what else f"`{what}`"
    return (
        f"{where} of type {name} cannot be pickled ({_first_line(error)}). "
        "Create it inside the function, or pass what it is made from."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _descend(value: Any, path: str, depth: int, seen: set[int]) -> tuple[str, Any]:
    seen.add(id(value))
    if depth < MAX_DEPTH:
        for step, part in _parts(value):
            if id(part) not in seen and not _is_picklable(part):
                return _descend(part, path + step, depth + 1, seen)
    return path, value


def _is_picklable(value: Any) -> bool:
    try:
        cloudpickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception:
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a value with the text that leads from it to each."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in list(value.items())[:MAX_ITEMS])
    elif isinstance(value, list | tuple):
        yield from ((f"[{n}]", part) for n, part in enumerate(value[:MAX_ITEMS]))
    elif isinstance(value, set | frozenset):
        yield from (("{…}", part) for part in list(value)[:MAX_ITEMS])
    elif isinstance(value, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _names_of_function(value)
    elif isinstance(value, BaseException):
        yield ".args", value.args
        yield from ((f".{name}", part) for name, part in vars(value).items())
    elif hasattr(value, "__dict__"):
        yield from ((f".{name}", part) for name, part in list(vars(value).items()))


def _names_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    names = inspect.getclosurevars(function)
    for name, part in {**names.globals, **names.nonlocals}.items():
        yield f" → {name}", part
