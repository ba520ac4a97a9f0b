"""Calls user code on one input and packs its value or its exception."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from modalnb.exception import InputCancellation, InvalidError
from modalnb.payload import envelope, failure
from modalnb.payload.shared_memory import Depot

Outcome = tuple[str, Any]


def unpack_arguments(payload: Any, depot: Depot | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of an input."""
    args, kwargs = envelope.unpack(payload, depot, "input")
    return args, kwargs


def call_sync(function: Callable[..., Any], payload: Any, depot: Depot | None) -> Outcome:
    """Run a plain function on an input."""
    try:
        args, kwargs = unpack_arguments(payload, depot)
        value = function(*args, **kwargs)
        if inspect.iscoroutine(value) or inspect.isgenerator(value):
            value.close()
            raise InvalidError(
                f"`{function.__name__}` returned a {type(value).__name__}, not a value. "
                "Declare it with `async def`, or return a list."
            )
        return "ok", envelope.pack(value, depot, "result")
    except BaseException as error:
        return outcome_of(error)


async def call_async(function: Callable[..., Any], payload: Any, depot: Depot | None) -> Outcome:
    """Run an ``async def`` function on an input."""
    try:
        args, kwargs = unpack_arguments(payload, depot)
        value = await function(*args, **kwargs)
        return "ok", envelope.pack(value, depot, "result")
    except BaseException as error:
        return outcome_of(error)


def outcome_of(error: BaseException) -> Outcome:
    """What is reported of an exception."""
    if isinstance(error, InputCancellation):
        return "cancelled", None
    return "error", failure_payload(error)


def failure_payload(error: BaseException) -> Any:
    """An exception as a payload."""
    return envelope.pack(failure.describe(error), None, "exception")
