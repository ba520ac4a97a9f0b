"""What decorators and ``with_options`` are given, checked and turned into settings."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from modalnb import resources
from modalnb.api.schedules import Schedule, check_schedule
from modalnb.exception import InvalidError, UnsupportedWarning
from modalnb.interface import GENERATOR_MARK
from modalnb.settings import (
    IGNORED,
    RENAMED,
    FunctionSettings,
    Retries,
    check_int,
    check_timeout,
    checked_override,
    merged,
)

#: Parameters of Modal that ask for what is always so here.
GRANTED = frozenset({"serialized"})

_AUTOSCALER = ("min_containers", "max_containers", "buffer_containers", "scaledown_window")


def _single_use_of(max_inputs: Any) -> dict[str, Any]:
    """What Modal's old name for single-use containers stands for."""
    check_int("max_inputs", max_inputs, 1)
    if max_inputs > 1:
        raise InvalidError(
            f"Only `max_inputs=1` is possible; got {max_inputs}. For several inputs at once use "
            "`@modal.concurrent(max_inputs=...)`."
        )
    warnings.warn(
        "`max_inputs=1` is now `single_use_containers=True`.", DeprecationWarning, stacklevel=5
    )
    return {"single_use": True}


#: The parameters that become fields of FunctionSettings; each gives them as its `to_dict` does.
_FIELDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "cpu": lambda value: resources.fields_of("cpu", value),
    "gpu": lambda value: resources.fields_of("gpu", value),
    "memory": lambda value: resources.fields_of("memory", value),
    "max_inputs": _single_use_of,
    "retries": lambda value: {"retries": Retries.declared(value).to_dict()},
    "single_use_containers": lambda value: {} if value is False else {"single_use": value},
    "startup_timeout": lambda value: {"startup_timeout": check_timeout("startup_timeout", value)},
    "timeout": lambda value: {"timeout": check_timeout("timeout", value)},
}

FUNCTION_PARAMETERS = frozenset({*_AUTOSCALER, *_FIELDS, *IGNORED, *GRANTED, "schedule"})
CLASS_PARAMETERS = FUNCTION_PARAMETERS - {"schedule"}
#: Modal's `with_options` has no `min_containers`.
OPTIONS = CLASS_PARAMETERS - {"min_containers"}
APP_PARAMETERS = frozenset({*IGNORED, "tags"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a decorator says."""

    settings: FunctionSettings
    schedule: Schedule | None = None
    has_snapshots: bool = False


def declare(decorator: str, misused: tuple[Any, ...], given: Mapping[str, Any]) -> Declaration:
    """Check the arguments of ``@app.function`` or ``@app.cls``.

    Raises
    ------
    InvalidError
        If a value is wrong, or the decorator is used without parentheses.
    TypeError
        If a parameter is unknown.
    """
    if misused:
        raise InvalidError(
            f"`@app.{decorator}` takes keyword arguments only; write `@app.{decorator}()` with "
            "parentheses."
        )
    known = CLASS_PARAMETERS if decorator == "cls" else FUNCTION_PARAMETERS
    sort_out(decorator, given, known, stacklevel=4)
    if not isinstance(given.get("serialized", False), bool):
        raise InvalidError(f"`serialized` must be a bool; got {given['serialized']!r}.")
    schedule = given.get("schedule")
    return Declaration(
        settings=FunctionSettings().with_options(fields_of(given)),
        schedule=check_schedule(schedule, stacklevel=4) if schedule is not None else None,
        has_snapshots=bool(given.get("enable_memory_snapshot")),
    )


def options_of(given: Mapping[str, Any], *, stacklevel: int) -> dict[str, Any]:
    """Check the arguments of ``with_options``: the fields of the settings that they set."""
    sort_out("with_options", given, OPTIONS, stacklevel=stacklevel + 1)
    return fields_of(given)


def fields_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the settings that these parameters set; None sets nothing."""
    autoscaler = checked_override({name: given.get(name) for name in _AUTOSCALER})
    fields: dict[str, Any] = {"autoscaler": autoscaler} if autoscaler else {}
    for name, parse in _FIELDS.items():
        if given.get(name) is not None:
            fields = merged(fields, parse(given[name]))
    # What does not fit the rest of the settings is found where these are known.
    FunctionSettings().with_options({key: fields[key] for key in fields if key != "autoscaler"})
    return fields


def sort_out(what: str, given: Mapping[str, Any], known: Collection[str], stacklevel: int) -> None:
    """Refuse what is unknown or renamed, and name in one warning what has no effect."""
    for name in given:
        if name in RENAMED:
            raise InvalidError(f"`{name}` is now `{RENAMED[name]}`. Use that name.")
        if name not in known:
            raise TypeError(f"{what}() got an unexpected keyword argument {name!r}")
    idle = {"tags", *IGNORED}
    named = sorted(f"`{n}`" for n, value in given.items() if n in idle and _is_set(value))
    if named:
        warnings.warn(
            f"{', '.join(named)} {'has' if len(named) == 1 else 'have'} no effect here yet.",
            UnsupportedWarning,
            stacklevel=stacklevel,
        )


def _is_set(value: Any) -> bool:
    return value is not None and value is not False


# -- names and functions -------------------------------------------------------------------


def check_name(name: Any) -> None:
    """Refuse a name that cannot be that of a function or class in its app."""
    if not isinstance(name, str) or not name or any(mark in name for mark in "./(["):
        raise InvalidError(f"`name` must be a str without '.', '/', '(' and '['; got {name!r}.")


def check_function(raw: Any, schedule: Schedule | None) -> None:
    """Refuse what ``@app.function`` cannot be put on."""
    if isinstance(raw, type):
        raise TypeError(
            f"`@app.function` is for functions; use `@app.cls()` for the class `{raw.__name__}`."
        )
    if not inspect.isroutine(raw):
        raise InvalidError(f"`@app.function` must be put on a function; got {raw!r}.")
    if inspect.isfunction(raw) and is_method(raw):
        raise InvalidError(
            f"`@app.function` cannot be put on the method `{raw.__name__}`. Use "
            "`@modal.method()` on it, and `@app.cls()` on its class."
        )
    if schedule is not None and _needs_arguments(raw):
        raise InvalidError(
            f"`schedule` runs `{raw.__name__}` without arguments, but it needs some. "
            "Give its parameters defaults."
        )


def is_method(raw: Callable[..., Any]) -> bool:
    """Whether a function stands in the body of a class and takes an instance."""
    *_, owner, _ = ["<locals>", *raw.__qualname__.split(".")]
    return owner != "<locals>" and next(iter(inspect.signature(raw).parameters), "") == "self"


def _needs_arguments(raw: Any) -> bool:
    named = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(
        parameter.default is parameter.empty and parameter.kind not in named
        for parameter in inspect.signature(raw).parameters.values()
    )


def is_generator(raw: Callable[..., Any], declared: Any) -> bool:
    """Whether a function yields its results: as declared, else as it is written."""
    if declared is None:
        return inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)
    if not isinstance(declared, bool):
        raise InvalidError(f"`is_generator` must be a bool or None; got {declared!r}.")
    return declared


def check_generator(raw: Callable[..., Any], retries: Any) -> None:
    """Refuse retries of a generator, and let containers know what is declared to be one."""
    if retries is not None:
        raise InvalidError(
            f"`retries` cannot be set on the generator `{raw.__name__}`: what it has yielded "
            "cannot be taken back. Leave it out."
        )
    if not (inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)):
        setattr(raw, GENERATOR_MARK, True)


def is_interactive() -> bool:
    """Whether definitions come from cells that are run again and again."""
    ipython = sys.modules.get("IPython")
    return bool(ipython is not None and ipython.get_ipython())
