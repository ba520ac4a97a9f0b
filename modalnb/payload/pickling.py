"""Pickles arguments and results: the fast pickler where it suffices, cloudpickle elsewhere."""

from __future__ import annotations

import contextlib
import functools
import operator
import pickle
import sys
import types
from typing import Any

import cloudpickle

from modalnb.exception import DeserializationError, SerializationError
from modalnb.payload import arriving
from modalnb.payload.diagnose import find_culprit

Frame = bytes | memoryview | pickle.PickleBuffer
#: What travels: one pickle, or a pickle followed by its out-of-band buffers.
Frames = list[Frame]

#: Buffers below this many bytes in all stay inside the pickle.
OUT_OF_BAND_BYTES = 32 * 1024

_by_value: set[str] = {"__main__"}
_patterns: tuple[bytes, ...] = ()


def pickle_by_value(module: types.ModuleType) -> None:
    """Send functions and classes of this module themselves: containers cannot import it."""
    global _patterns
    if module.__name__ in _by_value:
        return
    _by_value.add(module.__name__)
    _patterns = _patterns_of(_by_value)
    cloudpickle.register_pickle_by_value(module)


def _patterns_of(names: set[str]) -> tuple[bytes, ...]:
    """What a pickle contains that refers to one of these modules, or to one inside of it.

    A short string is pickled as a mark, its length and its text, so a module ``a`` is not found
    in every letter a.
    """
    whole = [b"\x8c" + bytes([len(name)]) + name for name in map(str.encode, names)]
    return (*whole, *(name.encode() + b"." for name in names))


_patterns = _patterns_of(_by_value)


def _reduce_cached(function: Any) -> str | tuple[Any, ...]:
    """Reduce what ``functools.cache`` made: by itself it always claims to be importable."""
    if function.__module__ not in _by_value:
        with contextlib.suppress(AttributeError):
            module = sys.modules.get(function.__module__)
            if operator.attrgetter(function.__qualname__)(module) is function:
                return str(function.__qualname__)
    return _rebuild_cached, (function.__wrapped__, function.cache_parameters())


def _rebuild_cached(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


_reduce_anonymous = cloudpickle.CloudPickler.dispatch_table[types.CodeType]


def _reduce_code(code: types.CodeType) -> tuple[Any, ...]:
    """Reduce code with the name of its file, which tracebacks show and cloudpickle hides."""
    make, parts = _reduce_anonymous(code)
    return make, tuple(code.co_filename if part == "<dynamic-code>" else part for part in parts)


cloudpickle.CloudPickler.dispatch_table[functools._lru_cache_wrapper] = _reduce_cached
cloudpickle.CloudPickler.dispatch_table[types.CodeType] = _reduce_code


def dumps(value: Any, what: str = "value") -> Frames:
    """Pickle `value` into frames.

    Raises
    ------
    SerializationError
        If some part of it cannot be pickled; the text names the part and the path to it.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        if any(pattern in data for pattern in _patterns):
            buffers.clear()
            data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception:
        buffers.clear()
        data = _dumps_by_value(value, what, buffers)
    if not buffers:
        return [data]
    if sum(buffer.raw().nbytes for buffer in buffers) < OUT_OF_BAND_BYTES:
        return [data, *(bytes(buffer.raw()) for buffer in buffers)]
    return [data, *buffers]


def _dumps_by_value(value: Any, what: str, buffers: list[pickle.PickleBuffer]) -> bytes:
    try:
        return cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)  # type: ignore[no-any-return]
    except Exception as error:
        raise SerializationError(find_culprit(value, what, error)) from error


def loads(frames: Any, what: str = "value") -> Any:
    """Rebuild what :func:`dumps` took apart.

    Raises
    ------
    DeserializationError
        If it cannot be rebuilt in this process; the text says what is missing.
    """
    try:
        if isinstance(frames, bytes):
            return arriving.loads(frames)
        return arriving.loads(frames[0], frames[1:])
    except Exception as error:
        raise DeserializationError(
            f"The {what} arrived but cannot be rebuilt in {sys.executable}: "
            f"{type(error).__name__}: {error}. Is the same package installed on both sides?"
        ) from error
