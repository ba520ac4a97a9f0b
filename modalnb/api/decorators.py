"""``@concurrent`` and ``@batched``: how containers take inputs, noted on what they decorate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from modalnb.api.declaring import is_method
from modalnb.exception import InvalidError
from modalnb.settings import BatchSettings, ConcurrencySettings

F = TypeVar("F", bound=Callable[..., Any])

_CONCURRENT = "__modalnb_concurrent__"
_BATCHED = "__modalnb_batched__"


def concurrent(
    *misused: Any, max_inputs: int, target_inputs: int | None = None
) -> Callable[[F], F]:
    """Let each container take several inputs at once; goes under ``@app.function`` or ``@app.cls``.

    Coroutines run as tasks of one event loop, plain functions on threads, so their code must be
    thread-safe.  The methods of a class share the slots of an instance.  One input that fails
    leaves the others alone; one whose plain function has to be stopped takes its container along,
    and the others run again elsewhere.

    Parameters
    ----------
    max_inputs : int
        Inputs that a container takes at once, when they come faster than containers start.
    target_inputs : int, optional
        Inputs for which the autoscaler plans a container; `max_inputs` if not given.

    Raises
    ------
    InvalidError
        If a value is wrong, the order of the decorators is, or one of them is there twice.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App()
    >>> @app.function()
    ... @modal.concurrent(max_inputs=100)
    ... async def fetch(url: str):
    ...     return url
    """
    if misused:
        raise InvalidError(
            "`@modal.concurrent` takes keyword arguments only; write "
            "`@modal.concurrent(max_inputs=10)`."
        )
    settings = ConcurrencySettings(max_inputs=max_inputs, target_inputs=target_inputs)

    def mark(raw: F) -> F:
        _check_order(raw, "concurrent")
        if inspect.isfunction(raw) and is_method(raw):
            raise InvalidError(
                f"`@modal.concurrent` cannot be put on the method `{raw.__name__}`: its instance "
                "shares the slots. Decorate the class instead."
            )
        return _marked(raw, _CONCURRENT, settings, "concurrent")

    return mark


def batched(
    *misused: Any, max_batch_size: int, wait_ms: int, adaptive: bool = False
) -> Callable[[F], F]:
    """Let one invocation take the inputs of many callers; goes under ``@app.function``.

    Callers pass single values and get their own element back; the function gets one list for each
    parameter and returns a list of the same length.  Inputs of all calls share batches.  A batch
    goes when a slot is free and it is full, or its first input has waited for `wait_ms`.

    Parameters
    ----------
    max_batch_size : int
        Inputs in a batch at most, 1 to 1,000.
    wait_ms : int
        Milliseconds that the first input waits for others, 0 to 600,000; with 0 the batch is
        whatever waits at that moment.
    adaptive : bool, default False
        Do not wait where it is unlikely to help: when, at the rate at which inputs have lately
        been arriving while others were there, less than half an arrival is expected before the
        wait would be over. A lone caller then gets its answer without the wait, while many
        callers fill batches as ever. Not in Modal.

    Raises
    ------
    InvalidError
        If a value is wrong, or the function is a generator or has default or variable arguments.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App()
    >>> @app.function()
    ... @modal.batched(max_batch_size=32, wait_ms=100)
    ... def double(xs: list[int]):
    ...     return [2 * x for x in xs]
    """
    if misused:
        raise InvalidError(
            "`@modal.batched` takes keyword arguments only; write "
            "`@modal.batched(max_batch_size=32, wait_ms=100)`."
        )
    settings = BatchSettings(max_batch_size=max_batch_size, wait_ms=wait_ms, adaptive=adaptive)

    def mark(raw: F) -> F:
        _check_order(raw, "batched")
        check_batched(raw)
        return _marked(raw, _BATCHED, settings, "batched")

    return mark


def check_batched(raw: Any) -> None:
    """Refuse a function that cannot take lists in the place of values."""
    if isinstance(raw, type) or not inspect.isfunction(raw):
        raise InvalidError(
            f"`@modal.batched` must be put on a function or a method; got {raw!r}. In a class, "
            "put it on the one method that takes batches."
        )
    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise InvalidError(
            f"`@modal.batched` cannot be put on the generator `{raw.__name__}`. Return a list."
        )
    for parameter in inspect.signature(raw).parameters.values():
        if parameter.default is not parameter.empty:
            raise InvalidError(
                f"Batched `{raw.__name__}` cannot have the default argument `{parameter.name}`. "
                "Let callers pass every value."
            )
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidError(
                f"Batched `{raw.__name__}` cannot have the variable argument `{parameter.name}`. "
                "Name each parameter."
            )


def concurrency_of(raw: Any) -> ConcurrencySettings | None:
    """What ``@concurrent`` says of a function or class."""
    return getattr(raw, _CONCURRENT, None)


def batching_of(raw: Any) -> BatchSettings | None:
    """What ``@batched`` says of a function or method."""
    found = getattr(raw, _BATCHED, None)
    return found if isinstance(found, BatchSettings) else None


def marked_fields(raw: Any, batch: BatchSettings | None = None) -> dict[str, Any]:
    """The fields of the settings that the decorators under ``@app.function`` set.

    ``batch`` is that of the batched method, for a class.
    """
    fields: dict[str, Any] = {}
    if concurrency := concurrency_of(raw):
        fields |= concurrency_fields(concurrency)
    if batch := batch or batching_of(raw):
        fields["batch"] = asdict(batch)
    return fields


def concurrency_fields(settings: ConcurrencySettings) -> dict[str, Any]:
    """The same settings as fields of all settings."""
    target = settings.target_inputs or settings.max_inputs
    return {"max_inputs": settings.max_inputs, "target_inputs": target}


def _check_order(raw: Any, decorator: str) -> None:
    if getattr(type(raw), "__modalnb_fixed__", False):
        raise InvalidError(
            f"`@modal.{decorator}` must stand under `@app.function` or `@app.cls`. "
            "Swap the order of the decorators."
        )
    if not callable(raw):
        raise InvalidError(f"`@modal.{decorator}` must be put on a function; got {raw!r}.")


def _marked(raw: F, mark: str, settings: Any, decorator: str) -> F:
    if mark in vars(raw):
        name = getattr(raw, "__name__", repr(raw))
        raise InvalidError(f"`@modal.{decorator}` is on `{name}` twice. Remove one of them.")
    setattr(raw, mark, settings)
    return raw
