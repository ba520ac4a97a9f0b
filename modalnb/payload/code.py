"""Functions on the move: pickled once, named by their content, again only when they changed."""

from __future__ import annotations

import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from modalnb.exception import InvalidError, SerializationError
from modalnb.payload import pickling
from modalnb.payload.diagnose import find_culprit

#: Pickled functions above this size are refused; Modal's own limit.
MAX_BYTES = 16 * 1024 * 1024

_IMMUTABLE = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
_INSTALLED = tuple(
    {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)

#: Handles of other functions met while one is pickled; None outside of that.
_handles: ContextVar[list[Any] | None] = ContextVar("_handles", default=None)


@dataclass(frozen=True, slots=True)
class Definition:
    """A function as it travels: `code` names its content; `handles` are the functions it calls."""

    code: str
    blob: bytes
    handles: tuple[Any, ...] = ()


def note_handle(handle: Any) -> None:
    """Called by a handle that is being pickled."""
    met = _handles.get()
    if met is not None:
        met.append(handle)


def define(function: Callable[..., Any], name: str) -> Definition:
    """Pickle a function: by value unless it belongs to an installed package."""
    own_module = inspect.getmodule(function)
    if own_module is not None and not is_installed(own_module):
        pickling.pickle_by_value(own_module)
    met: list[Any] = []
    token = _handles.set(met)
    try:
        blob: bytes = cloudpickle.dumps((function, tuple(sys.path)), protocol=5)
    except Exception as error:
        raise SerializationError(find_culprit(function, f"function `{name}`", error)) from error
    finally:
        _handles.reset(token)
    if len(blob) > MAX_BYTES:
        raise InvalidError(
            f"Function `{name}` takes {len(blob) >> 20} MiB with the globals that it uses; "
            f"at most {MAX_BYTES >> 20} MiB can travel with code. Pass large data as arguments."
        )
    return Definition(code=hashlib.sha256(blob).hexdigest()[:32], blob=blob, handles=tuple(met))


def load(blob: bytes) -> Callable[..., Any]:
    """Rebuild a function in a container, which can import what its caller could."""
    pickling_path = set(sys.path)
    function, path = _loads(blob)
    sys.path.extend(entry for entry in path if entry not in pickling_path)
    return function  # type: ignore[no-any-return]


def _loads(blob: bytes) -> Any:
    return pickling.loads(blob, "function")


def is_installed(module: types.ModuleType) -> bool:
    """Whether containers can be expected to have this module too."""
    if module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(_INSTALLED)


@dataclass(slots=True)
class CodeCache:
    """The last definition of a function, good for as long as nothing that it uses was rebound.

    Values that can change in place are not trusted: a function that uses one is pickled anew for
    each call, so that the containers see what the notebook sees.
    """

    name: str
    _definition: Definition | None = None
    _seen: tuple[Any, ...] = field(default=())

    def current(self, function: Callable[..., Any]) -> Definition:
        """The definition of the function as it is now."""
        seen: list[Any] = []
        is_stable = _collect(function, seen, set())
        if (
            self._definition is None
            or not is_stable
            or len(seen) != len(self._seen)
            or any(a is not b for a, b in zip(seen, self._seen, strict=True))
        ):
            self._definition = define(function, self.name)
            self._seen = tuple(seen)
        return self._definition


def _collect(value: Any, seen: list[Any], visited: set[int]) -> bool:
    """Gather all that a function reaches by name; False when some of it may change in place."""
    if not isinstance(value, types.FunctionType):
        seen.append(value)
        return isinstance(value, _IMMUTABLE) or _is_fixed(value)
    if id(value) in visited:
        return True
    visited.add(id(value))
    # A handle is compared by what it names; its own definition is looked at when it is called.
    seen.append(value.__code__)
    parts = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    parts += [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    if not is_installed_name(value.__module__):
        parts += [
            value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__
        ]
    # Every part must be gathered, so this does not stop at the first that may change.
    return min((_collect(part, seen, visited) for part in parts), default=True)


def is_installed_name(name: str | None) -> bool:
    """Whether a module of that name is loaded from an installed package."""
    module = sys.modules.get(name or "")
    return module is not None and is_installed(module)


def _is_fixed(value: Any) -> bool:
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
        return True
    if isinstance(value, type):
        return is_installed_name(value.__module__)
    return bool(getattr(type(value), "__modalnb_handle__", False))


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
