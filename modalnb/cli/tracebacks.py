"""Tracebacks for the terminal: the user's frames, here and in the container, and no others."""

from __future__ import annotations

import importlib
import sys
import traceback

from modalnb.payload.failure import is_ours, shows_our_frames


def show_error(error: BaseException) -> None:
    """Print an error to standard error."""
    story = traceback.TracebackException.from_exception(error)
    if not shows_our_frames():
        _strip(story, set())
    sys.stdout.flush()
    print("".join(story.format()), end="", file=sys.stderr, flush=True)


def _strip(story: traceback.TracebackException, visited: set[int]) -> None:
    """Take out frames that are not the user's, along the whole chain of causes."""
    if id(story) in visited:
        return
    visited.add(id(story))
    kept = [frame for frame in story.stack if not _is_machinery(frame.filename)]
    story.stack = traceback.StackSummary.from_list(kept)
    for other in (story.__cause__, story.__context__, *(story.exceptions or ())):
        if other is not None:
            _strip(other, visited)


def _is_machinery(filename: str) -> bool:
    return (
        is_ours(filename)
        or filename.startswith("<frozen importlib")
        or filename == importlib.__file__
    )
