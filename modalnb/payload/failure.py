"""Exceptions on their way back: as themselves, with their remote frames, else as text."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import tblib

from modalnb.exception import ExecutionError, RemoteError, SerializationError
from modalnb.payload import pickling
from modalnb.payload.diagnose import find_culprit

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass(frozen=True, slots=True)
class Failure:
    """What a container reports of an exception; `frames` is None when it cannot be pickled."""

    frames: Any
    traceback: Any
    text: str
    culprit: str = ""


def is_ours(filename: str) -> bool:
    """Whether a source file belongs to modalnb."""
    return filename.startswith(_PACKAGE + os.sep)


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


def describe(error: BaseException) -> Failure:
    """Turn a caught exception into what travels to the caller."""
    trace = users_part(error.__traceback__)
    text = "".join(traceback.format_exception(type(error), error, trace))
    frames, culprit = None, ""
    try:
        frames = [bytes(f) for f in pickling.dumps(error.with_traceback(None), "exception")]
    except SerializationError as why:
        culprit = str(why)
    except Exception as why:
        culprit = find_culprit(error, "exception", why)
    chain = tblib.Traceback(trace).as_dict() if trace is not None else None
    return Failure(frames=frames, traceback=chain, text=text, culprit=culprit)


def rebuild(failure: Failure) -> BaseException:
    """The exception for the caller, with the frames of the container as its traceback."""
    if failure.frames is None:
        error: BaseException = SerializationError(
            f"The function raised an exception that cannot travel: {failure.culprit}\n"
            f"The remote traceback was:\n{failure.text}"
        )
    else:
        error = _load(failure)
    if failure.traceback is not None:
        error = error.with_traceback(tblib.Traceback.from_dict(failure.traceback).as_traceback())
    return error


def _load(failure: Failure) -> BaseException:
    try:
        error = pickling.loads(failure.frames, "exception")
    except Exception as why:
        return ExecutionError(
            f"The function raised an exception that cannot be rebuilt here ({why}). "
            f"The remote traceback was:\n{failure.text}"
        )
    if not isinstance(error, BaseException):
        return RemoteError(f"The function failed:\n{failure.text}")
    return error
