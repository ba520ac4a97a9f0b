"""Variants: pools of one function or class that differ in class parameters or in options."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modalnb.interface import Values
from modalnb.settings import merged

#: Longer names of pools end in a hash.
MAX_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What sets a pool apart from others of the same function or class.

    ``parameters`` are those of a class, ``options`` the fields of
    :class:`~modalnb.settings.FunctionSettings` that differ, in the form of its ``to_dict``.
    """

    parameters: Values = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether this is the function or class as it was declared."""
        return not self.parameters and not self.options

    def with_options(self, options: Mapping[str, Any]) -> Variant:
        """This variant with more options; later ones win."""
        return replace(self, options=merged(self.options, options))

    def name_of(self, base: str) -> str:
        """The name of the pool: the same for equal values, another for any other ones."""
        if self.is_plain:
            return base
        name = base
        if self.parameters:
            name += f"({', '.join(f'{key}={value!r}' for key, value in self.parameters)})"
        if self.options:
            name += f"[{', '.join(f'{key}={_shown(value)}' for key, value in _flat(self.options))}]"
        if len(name) > MAX_NAME:
            digest = hashlib.sha256(name.encode()).hexdigest()[:12]
            name = f"{name[: MAX_NAME - 14]}…#{digest}"
        return name


#: A function or class as it was declared.
PLAIN = Variant()


def _flat(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options in one order, whatever the order in which they were given.

    ``cpu`` and ``memory`` without a limit need not say so.
    """
    for key, value in sorted(options.items()):
        if isinstance(value, Mapping):
            yield from _flat(value)
        elif value is not None or not key.endswith("_limit"):
            yield key, value


def _shown(value: Any) -> str:
    """A value as text; 60 and 60.0 are equal and look the same."""
    return repr(int(value) if isinstance(value, float) and value.is_integer() else value)
