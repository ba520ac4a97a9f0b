"""A method of a class as something to run: the values of its instance are arguments like others."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from modalnb.api.app import App
from modalnb.api.cls import Cls
from modalnb.interface import KINDS, ParameterFacts


@dataclass(frozen=True, slots=True)
class MethodOfClass:
    """One method of a class that an app declares."""

    handle: Cls
    name: str

    @property
    def app(self) -> App:
        """The app of the class."""
        app: App = self.handle._base.app  # type: ignore[assignment]
        return app

    @property
    def label(self) -> str:
        """``Class.method``."""
        return f"{self.handle._base.name}.{self.name}"

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Make the instance and call the method in a container."""
        own = {p.name for p in self._parameters}
        values = {name: value for name, value in kwargs.items() if name in own}
        rest = {name: value for name, value in kwargs.items() if name not in own}
        return getattr(self.handle(**values), self.name).remote(*args, **rest)

    @property
    def raw(self) -> Callable[..., Any]:
        """What has the parameters of the class and of the method, to be read and not to be called.

        Raises
        ------
        click.UsageError
            If the method is a generator, or both have a parameter of one name.
        """
        facts = self.handle._interface().method(self.name)
        if facts is not None and facts.is_generator:
            raise click.UsageError(
                f"`{self.label}` is a generator, which cannot be run by name. "
                "Call it from a local entrypoint."
            )
        method = getattr(self.handle._base.raw, self.name)
        _, *given = inspect.signature(method).parameters.values()
        for name in {p.name for p in self._parameters} & {p.name for p in given}:
            raise click.UsageError(
                f"Both `{self.label}` and its class have a parameter `{name}`, so `--{name}` "
                "could be either. Rename one."
            )

        @functools.wraps(method)
        def joint(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError("this only shows its signature")

        own = [_parameter(p) for p in self._parameters]
        joint.__name__ = self.label
        joint.__annotations__ = {
            **method.__annotations__,
            **{parameter.name: parameter.annotation for parameter in own},
        }
        joint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            sorted([*given, *own], key=lambda parameter: parameter.kind)
        )
        return joint

    @property
    def _parameters(self) -> tuple[ParameterFacts, ...]:
        return self.handle._interface().parameters


def _parameter(facts: ParameterFacts) -> inspect.Parameter:
    return inspect.Parameter(
        facts.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=facts.default if facts.has_default else inspect.Parameter.empty,
        annotation=KINDS[facts.kind],
    )


def methods_of(app: App) -> Iterator[MethodOfClass]:
    """The methods of all classes of an app."""
    for handle in app.registered_classes.values():
        for facts in handle._interface().methods:
            yield MethodOfClass(handle, facts.name)
