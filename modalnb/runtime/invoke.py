"""Calls user code on inputs and packs its values or its exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from modalnb.exception import InputCancellation, InvalidError
from modalnb.interface import GENERATOR_MARK
from modalnb.payload import envelope, failure
from modalnb.payload.shared_memory import Depot
from modalnb.runtime import context
from modalnb.runtime.streaming import Producer

Outcome = tuple[str, Any]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Callee:
    """User code that runs inputs, with what decides how; found out once, not for each input."""

    __slots__ = ("function", "is_async", "streams")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        is_async_generator = inspect.isasyncgenfunction(function)
        #: A call of it has to run under an event loop.
        self.is_async = is_async_generator or inspect.iscoroutinefunction(function)
        #: What it yields is streamed.
        self.streams = (
            is_async_generator
            or inspect.isgeneratorfunction(function)
            or bool(getattr(function, GENERATOR_MARK, False))
        )


def arguments_of(payload: Any, depot: Depot | None) -> Arguments:
    """The positional and keyword arguments of an input."""
    args, kwargs = envelope.unpack(payload, depot, "input")
    return args, kwargs


def outcome_of(error: BaseException) -> Outcome:
    """What is reported of an exception."""
    if isinstance(error, InputCancellation | asyncio.CancelledError):
        # The latter may be of the user's own making; a caller would take it for its own.
        return "cancelled", None
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        # They ask the process to end: it does, after what else it executes.
        context.home().container.leave()
    return "error", failure_payload(error)


def failure_payload(error: BaseException) -> Any:
    """An exception as a payload."""
    return envelope.pack(failure.describe(error), None, "exception")


# -- one input -----------------------------------------------------------------------------


def call_sync(
    function: Callable[..., Any], payload: Any, depot: Depot | None, producer: Producer | None
) -> Outcome:
    """Run a plain function, or a generator function, on an input."""
    try:
        args, kwargs = arguments_of(payload, depot)
        value = function(*args, **kwargs)
        if producer is not None and inspect.isgenerator(value):
            with contextlib.closing(value):
                for element in value:
                    producer.put(element)
            value = None
        _check_value(function, value)
        return "ok", envelope.pack(value, depot, "result")
    except BaseException as error:
        return outcome_of(error)


async def call_async(
    function: Callable[..., Any], payload: Any, depot: Depot | None, producer: Producer | None
) -> Outcome:
    """Run an ``async def`` function, or an async generator function, on an input."""
    try:
        args, kwargs = arguments_of(payload, depot)
        value = function(*args, **kwargs)
        if producer is not None and inspect.isasyncgen(value):
            async with contextlib.aclosing(value):
                async for element in value:
                    await producer.put_async(element)
            value = None
        else:
            value = await value
        return "ok", envelope.pack(value, depot, "result")
    except BaseException as error:
        return outcome_of(error)


def _check_value(function: Callable[..., Any], value: Any) -> None:
    """Refuse what is no value but has still to run."""
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
        raise InvalidError(
            f"`{function.__name__}` returned a {type(value).__name__}, not a value. Declare it "
            "with `async def`, return a list, or say `is_generator=True` to stream it."
        )


# -- a batch -------------------------------------------------------------------------------


class BatchCall:
    """One call of a batched function: lists in, a list of the same length out.

    Inputs whose arguments do not fit are refused one by one, before they can spoil the others.
    """

    def __init__(
        self, function: Callable[..., Any], payloads: list[Any], depot: Depot | None
    ) -> None:
        self._function = function
        self._depot = depot
        self._outcomes: list[Outcome | None] = [None] * len(payloads)
        self._lists: dict[str, list[Any]] = {}
        signature = inspect.signature(function)
        self._lists = {name: [] for name in signature.parameters}
        for n, payload in enumerate(payloads):
            try:
                args, kwargs = arguments_of(payload, depot)
                bound = _bound(function, signature, args, kwargs)
            except BaseException as error:
                self._outcomes[n] = outcome_of(error)
            else:
                for name, values in self._lists.items():
                    values.append(bound[name])

    @property
    def size(self) -> int:
        """Inputs that take part."""
        return sum(outcome is None for outcome in self._outcomes)

    def call_sync(self) -> list[Outcome]:
        """Run a plain function on the batch."""
        try:
            values = self._function(**self._lists) if self.size else []
            return self._spread(values)
        except BaseException as error:
            return self._fail(error)

    async def call_async(self) -> list[Outcome]:
        """Run an ``async def`` function on the batch."""
        try:
            values = await self._function(**self._lists) if self.size else []
            return self._spread(values)
        except BaseException as error:
            return self._fail(error)

    def _spread(self, values: Any) -> list[Outcome]:
        name = self._function.__name__
        if not isinstance(values, list):
            raise InvalidError(
                f"The result of batched `{name}` must be a list; got a {type(values).__name__}. "
                "Return one element for each input, for instance `list(...)` of an array."
            )
        if len(values) != self.size:
            raise InvalidError(
                f"The result of batched `{name}` must be a list of equal length as its inputs; "
                f"got {len(values)} elements for {self.size} inputs. Return one for each."
            )
        elements = iter(values)
        return [
            _packed(next(elements), self._depot) if outcome is None else outcome
            for outcome in self._outcomes
        ]

    def _fail(self, error: BaseException) -> list[Outcome]:
        failed = outcome_of(error)
        return [failed if outcome is None else outcome for outcome in self._outcomes]


def _bound(
    function: Callable[..., Any], signature: inspect.Signature, args: Any, kwargs: Any
) -> dict[str, Any]:
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise InvalidError(
            f"The arguments do not fit batched `{function.__name__}`: {error}. "
            "Give one value for each of its parameters."
        ) from None


def _packed(value: Any, depot: Depot | None) -> Outcome:
    try:
        return "ok", envelope.pack(value, depot, "result")
    except BaseException as error:
        return outcome_of(error)
