"""Exceptions on their way back: as themselves, with their remote frames, else as text."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import tblib.pickling_support

from modalnb.exception import ExecutionError, RemoteError, SerializationError
from modalnb.payload import pickling
from modalnb.payload.diagnose import find_culprit

# Dask does the same: causes and contexts keep their frames when exceptions are pickled.
tblib.pickling_support.install()

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: The examples are written as a user would write them.
_EXAMPLES = os.path.join(_PACKAGE, "examples", "")


#: File, function, first line of the function, line that was running, module.
_Place = tuple[str, str, int, int, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a container reports of an exception; `frames` is None when it cannot be pickled."""

    frames: Any
    traceback: tuple[_Place, ...]
    text: str
    culprit: str = ""


@dataclass(frozen=True, slots=True)
class _Builtin:
    """A built-in exception; tblib, which pickles the others, would lose ``SystemExit.code``."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]
    cause: BaseException | None
    context: BaseException | None
    suppress_context: bool

    @classmethod
    def of(cls, error: BaseException) -> _Builtin:
        return cls(
            type(error),
            error.__reduce__()[1],  # type: ignore[arg-type]
            error.__dict__,
            error.__cause__,
            error.__context__,
            error.__suppress_context__,
        )

    def rebuild(self) -> BaseException:
        error = self.kind(*self.args)
        error.__dict__.update(self.state)
        error.__cause__, error.__context__ = self.cause, self.context
        error.__suppress_context__ = self.suppress_context
        return error


def is_ours(filename: str) -> bool:
    """Whether a source file belongs to modalnb."""
    return filename.startswith(_PACKAGE + os.sep) and not filename.startswith(_EXAMPLES)


def shows_our_frames() -> bool:
    """Whether tracebacks shall hold modalnb's own frames."""
    return os.environ.get("MODALNB_TRACEBACK", "") not in ("", "0")


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not ours."""
    if shows_our_frames():
        return trace
    while trace is not None and is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def without_ours(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without any frame of ours."""
    if trace is None or shows_our_frames():
        return trace
    rest = without_ours(trace.tb_next)
    if is_ours(trace.tb_frame.f_code.co_filename):
        return rest
    trace.tb_next = rest
    return trace


def describe(error: BaseException) -> Failure:
    """Turn a caught exception into what travels to the caller."""
    trace = users_part(error.__traceback__)
    error = error.with_traceback(None)
    text = "".join(traceback.format_exception(type(error), error, trace))
    frames, culprit = None, ""
    try:
        travels = _Builtin.of(error) if type(error).__module__ == "builtins" else error
        frames = [bytes(f) for f in pickling.dumps(travels, "exception")]
    except Exception as why:
        culprit = find_culprit(error, "exception", why.__cause__ or why)
    return Failure(frames=frames, traceback=_places(trace), text=text, culprit=culprit)


def _places(trace: TracebackType | None) -> tuple[_Place, ...]:
    places = []
    while trace is not None:
        code, lineno = trace.tb_frame.f_code, trace.tb_lineno
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        places.append((code.co_filename, code.co_name, code.co_firstlineno, lineno, module))
        trace = trace.tb_next
    return tuple(places)


class _Stop(Exception):
    """Raised to get a frame."""


def _traceback(places: tuple[_Place, ...]) -> TracebackType | None:
    """A traceback through these places.

    Each has a frame of its own, whose code claims to begin where the function began: IPython
    numbers the lines that it shows from there, which tblib's frames leave out.
    """
    trace: TracebackType | None = None
    for filename, name, first, lineno, module in reversed(places):
        source = "\n" * max(0, lineno - first) + "raise _Stop"
        code = compile(source, filename, "exec")
        code = code.replace(co_name=name, co_qualname=name, co_firstlineno=min(first, lineno))
        try:
            exec(code, {"__name__": module, "_Stop": _Stop})
        except _Stop as stop:
            frame = _innermost(stop)
            trace = TracebackType(trace, frame, frame.f_lasti, lineno)
    return trace


def _innermost(error: BaseException) -> FrameType:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1]


def rebuild(failure: Failure) -> BaseException:
    """The exception for the caller, with the frames of the container as its traceback."""
    if failure.frames is None:
        error: BaseException = SerializationError(
            f"The function raised an exception that cannot travel: {failure.culprit}\n"
            f"The remote traceback was:\n{failure.text}"
        )
    else:
        error = _load(failure)
    return error.with_traceback(_traceback(failure.traceback))


def _load(failure: Failure) -> BaseException:
    try:
        loaded = pickling.loads(failure.frames, "exception")
        error = loaded.rebuild() if isinstance(loaded, _Builtin) else loaded
    except Exception as why:
        return ExecutionError(
            f"The function raised an exception that cannot be rebuilt here ({why}). "
            f"The remote traceback was:\n{failure.text}"
        )
    if not isinstance(error, BaseException):
        return RemoteError(f"The function failed:\n{failure.text}")
    return error
