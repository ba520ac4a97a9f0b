"""Turns the signature of a function into options, and what was given for them into arguments."""

from __future__ import annotations

import datetime
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

import click
from click.core import ParameterSource

#: Positional and keyword arguments.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_SIMPLE: dict[Any, Any] = {
    str: click.STRING,
    Any: click.STRING,
    int: click.INT,
    float: click.FLOAT,
    bool: click.BOOL,
}


class DateTime(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in new clicks
    """A date with or without a time, in any form of ISO 8601."""

    name = "datetime"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime.datetime:
        try:
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; write it as 2030-12-31 or 2030-12-31T23:59.")


class OneOf(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """One of the values of a ``Literal``, which may be numbers."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        super().__init__([str(value) for value in values])
        self._values = {str(value): value for value in values}

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return self._values[super().convert(value, param, ctx)]


def parse(raw: Callable[..., Any], program: str, args: tuple[str, ...]) -> Arguments:
    """Read the arguments that a function is to be called with.

    Parameters
    ----------
    raw : callable
        Its parameters become options; a lone ``*args`` gets all the words as they are.
    program : str
        How usage messages call the program.
    args : tuple of str
        The words of the command line.

    Raises
    ------
    click.UsageError
        If an annotation stands for nothing that can be written on a command line, or the words
        do not fit the signature.
    """
    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise click.UsageError(
            f"`{raw.__name__}` is a generator function, which cannot be run by name. "
            "Call it from a local entrypoint."
        )
    parameters = list(inspect.signature(raw).parameters.values())
    if [p.kind for p in parameters] == [inspect.Parameter.VAR_POSITIONAL]:
        return args, {}
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    command = click.Command(
        raw.__name__,
        params=_options(raw, named),
        help=_help(raw),
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    context = command.make_context(program, list(args))
    return _arguments(named, context)


def _arguments(parameters: list[inspect.Parameter], context: click.Context) -> Arguments:
    """What was given; for the rest the function has defaults of its own."""
    given = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    positional = tuple(
        given.pop(parameter.name, parameter.default)
        for parameter in parameters
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    )
    return positional, given


def _options(raw: Callable[..., Any], parameters: list[inspect.Parameter]) -> list[click.Parameter]:
    try:
        hints = typing.get_type_hints(raw)
    except Exception as error:
        raise click.UsageError(
            f"`{raw.__name__}` has an unparseable annotation: {type(error).__name__}: {error}."
        ) from error
    return [_option(raw, parameter, hints.get(parameter.name, str)) for parameter in parameters]


def _option(raw: Callable[..., Any], parameter: inspect.Parameter, hint: Any) -> click.Option:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        raise click.UsageError(
            f"`*{parameter.name}` of `{raw.__name__}` must be its only parameter to be given on "
            "the command line."
        )
    kind = _kind_of(hint)
    if kind is None:
        raise click.UsageError(
            f"Parameter `{parameter.name}` of `{raw.__name__}` has the unparseable annotation "
            f"{inspect.formatannotation(hint)}. Use str, int, float, bool, datetime, Literal or "
            "Optional of these, or take `*args` alone."
        )
    flag = parameter.name.strip("_").replace("_", "-") or parameter.name
    default = parameter.default
    is_required = default is inspect.Parameter.empty
    return click.Option(
        [f"--{flag}/--no-{flag}" if kind is click.BOOL else f"--{flag}", parameter.name],
        type=kind,
        required=is_required,
        help=None if is_required or default is None else f"[default: {default}]",
    )


def _kind_of(hint: Any) -> Any:
    """The type of the option for an annotation; None where there is none."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        others = [part for part in parts if part is not types.NoneType]
        return _kind_of(others[0]) if len(others) == 1 < len(parts) else None
    if origin is Literal:
        are_plain = all(isinstance(v, str | int) and not isinstance(v, bool) for v in parts)
        is_clear = len({str(v) for v in parts}) == len(parts)
        return OneOf(parts) if are_plain and is_clear else None
    if hint is datetime.datetime:
        return DateTime()
    return _SIMPLE.get(hint) if isinstance(hint, typing.Hashable) else None


def _help(raw: Callable[..., Any]) -> str | None:
    """The docstring up to its sections."""
    text = inspect.getdoc(raw)
    return text.partition("\n\nParameters\n")[0] if text else None
