"""Functions and classes on the move: pickled once, named by content, again when they changed."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import sysconfig
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from modalnb.exception import InvalidError, SerializationError
from modalnb.payload import pickling
from modalnb.payload.diagnose import find_culprit
from modalnb.payload.failure import is_ours

#: Pickled code above the first size gets a warning, above the second it is refused, as in Modal.
LARGE_BYTES = 256 * 1024
MAX_BYTES = 16 * 1024 * 1024

_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
#: Kinds of values that do not change in place.
_FIXED = (
    types.BuiltinFunctionType,
    types.CodeType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ModuleType,
)
#: What a class holds beside the user's own.
_NO_CODE = frozenset({"__annotations__", "__dict__", "__doc__", "__module__", "__weakref__"})
_INSTALLED = tuple(
    {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)

#: Handles of other functions met while one is pickled; None outside of that.
_handles: ContextVar[list[Any] | None] = ContextVar("_handles", default=None)


@dataclass(frozen=True, slots=True)
class Definition:
    """Code as it travels: `code` names its content; `handles` are what it calls in containers."""

    code: str
    blob: bytes
    handles: tuple[Any, ...] = ()


def note_handle(handle: Any) -> None:
    """Called by a handle that is being pickled."""
    met = _handles.get()
    if met is not None:
        met.append(handle)


@contextmanager
def handles_met() -> Iterator[list[Any]]:
    """Gather the handles of functions that are pickled inside of the block."""
    met: list[Any] = []
    token = _handles.set(met)
    try:
        yield met
    finally:
        _handles.reset(token)


def define(source: Callable[..., Any], name: str, carrier: Any = None) -> Definition:
    """Pickle a function or class: by value unless it belongs to an installed package.

    With a `carrier`, that is pickled, which holds the source.
    """
    own_module = inspect.getmodule(source)
    if own_module is not None and not is_installed(own_module):
        pickling.pickle_by_value(own_module)
    what = "class" if isinstance(source, type) else "function"
    with handles_met() as met:
        try:
            blob: bytes = cloudpickle.dumps((carrier or source, tuple(sys.path)), protocol=5)
        except Exception as error:
            raise SerializationError(find_culprit(source, f"{what} `{name}`", error)) from error
    if len(blob) > MAX_BYTES:
        raise InvalidError(
            f"{what.capitalize()} `{name}` takes {len(blob) >> 20} MiB with the globals that it "
            f"uses; at most {MAX_BYTES >> 20} MiB can travel with code. Pass large data as "
            "arguments."
        )
    if len(blob) > LARGE_BYTES:
        # The same text each time, so that Python shows it once.
        warnings.warn(
            f"{what.capitalize()} `{name}` takes more than {LARGE_BYTES >> 10} KiB with the "
            "globals that it uses, and travels again whenever they change. Pass large data as "
            "arguments.",
            UserWarning,
            stacklevel=_depth_of_user(),
        )
    return Definition(code=hashlib.sha256(blob).hexdigest()[:32], blob=blob, handles=tuple(met))


def _depth_of_user() -> int:
    """How far up the first frame is that is not ours, as `warnings.warn` in the caller counts."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and is_ours(frame.f_code.co_filename):
        depth, frame = depth + 1, frame.f_back
    return depth


def load(blob: bytes) -> Any:
    """Rebuild what was pickled in a container, which can import what its caller could."""
    pickling_path = set(sys.path)
    loaded, path = _loads(blob)
    sys.path.extend(entry for entry in path if entry not in pickling_path)
    return loaded


def _loads(blob: bytes) -> Any:
    return pickling.loads(blob, "function")


def is_installed(module: types.ModuleType) -> bool:
    """Whether containers can be expected to have this module too."""
    if module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(_INSTALLED) or is_ours(file)


@dataclass(slots=True)
class CodeCache:
    """The last definition of a function or class, good until something that it uses is rebound.

    Values that can change in place are not trusted: code that uses one is pickled anew for each
    call, so that the containers see what the notebook sees.
    """

    name: str
    _definition: Definition | None = None
    _seen: tuple[Any, ...] = field(default=())

    def current(self, source: Callable[..., Any], carrier: Any = None) -> Definition:
        """The definition as it is now; what is pickled may be a `carrier` that holds the source."""
        seen: list[Any] = []
        is_stable = _collect(source, seen, set())
        if (
            self._definition is None
            or not is_stable
            or len(seen) != len(self._seen)
            or any(a is not b for a, b in zip(seen, self._seen, strict=True))
        ):
            self._definition = define(source, self.name, carrier)
            self._seen = tuple(seen)
        return self._definition


def _collect(value: Any, seen: list[Any], visited: set[int]) -> bool:
    """Gather all that code reaches by name; False when some of it may change in place."""
    parts = _parts_of(value)
    if parts is None:
        seen.append(value)
        return isinstance(value, _IMMUTABLE) or _is_fixed(value)
    if id(value) in visited:
        return True
    visited.add(id(value))
    # Every part must be gathered, so this does not stop at the first that may change.
    return min((_collect(part, seen, visited) for part in parts(value)), default=True)


def _parts_of(value: Any) -> Callable[[Any], list[Any]] | None:
    """How to take a value apart; None if it has no parts that are code."""
    if isinstance(value, types.FunctionType):
        return _parts_of_function
    if isinstance(value, types.CodeType):
        return None
    if isinstance(value, type) and not is_installed_name(value.__module__):
        return _parts_of_class
    if isinstance(value, staticmethod | classmethod | functools.cached_property | property):
        return _parts_of_descriptor
    return None


def _parts_of_function(function: Any) -> list[Any]:
    # A handle is compared by what it names; its own definition is looked at when it is called.
    parts = [function.__code__]
    parts += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    parts += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    if not is_installed_name(function.__module__):
        names, known = _names(function.__code__), function.__globals__
        parts += [known[name] for name in names if name in known]
    return parts


def _parts_of_class(kind: type) -> list[Any]:
    own = [part for item in vars(kind).items() if item[0] not in _NO_CODE for part in item]
    return [*kind.__bases__, *vars(kind).get("__annotations__", {}).values(), *own]


def _parts_of_descriptor(value: Any) -> list[Any]:
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    return [value.func if isinstance(value, functools.cached_property) else value.__func__]


def is_installed_name(name: str | None) -> bool:
    """Whether a module of that name is loaded from an installed package."""
    module = sys.modules.get(name or "")
    return module is not None and is_installed(module)


def _is_fixed(value: Any) -> bool:
    if isinstance(value, _FIXED):
        return True
    if isinstance(value, type):
        return is_installed_name(value.__module__)
    return bool(getattr(type(value), "__modalnb_fixed__", False))


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names
