"""Waits for several spawned calls at once."""

from __future__ import annotations

import contextlib
import functools
import queue
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modalnb.api.fetching import Fetch
from modalnb.payload.failure import users_part

if TYPE_CHECKING:
    from modalnb.api.call import FunctionCall


def gathered(calls: Sequence[FunctionCall], *, return_exceptions: bool) -> list[Any]:
    """The values of calls in their order; the failure that comes first is raised as it comes."""
    __tracebackhide__ = True
    try:
        with contextlib.ExitStack() as stack:
            fetches = [stack.enter_context(call._fetch(0)) for call in calls]
            return _values(fetches, return_exceptions=return_exceptions)
    except BaseException as error:
        raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__


def _values(fetches: Sequence[Fetch], *, return_exceptions: bool) -> list[Any]:
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()
    for n, fetch in enumerate(fetches):
        fetch.tell(functools.partial(ended.put, n))
    values: list[Any] = [None] * len(fetches)
    for _ in fetches:
        n = ended.get()
        try:
            values[n] = fetches[n].value(0)
        except Exception as error:
            if not return_exceptions:
                raise
            values[n] = error
    return values
