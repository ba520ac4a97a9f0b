"""What callers must know of a function or class to call it, without its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modalnb.exception import InvalidError
from modalnb.websettings import WebSettings

#: Types that a class parameter may have, by the names under which they travel.
KINDS: dict[str, type] = {"bool": bool, "bytes": bytes, "int": int, "str": str}
#: All parameters of an instance together; Modal's own limit.
MAX_PARAMETER_BYTES = 16 * 1024

#: Set on functions that return a generator and are declared to stream what it yields.
GENERATOR_MARK = "__modalnb_generator__"

#: The parameters of an instance, in the order of their declaration.
Values = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterFacts:
    """One parameter of a class: its type by name, and its default if it has one."""

    name: str
    kind: str
    has_default: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFacts:
    """One method of a class, or a function itself."""

    name: str = ""
    is_generator: bool = False
    #: What answers HTTP requests instead of calls.
    web: WebSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """How a function or class is called.

    A function has one entry in ``methods``, without a name.  ``module`` is where it was defined.
    """

    is_class: bool = False
    module: str = ""
    methods: tuple[MethodFacts, ...] = ()
    parameters: tuple[ParameterFacts, ...] = ()

    @property
    def is_service(self) -> bool:
        """Whether its containers have something to start before they take inputs."""
        return self.is_class or self.has_web

    @property
    def has_web(self) -> bool:
        """Whether some of it answers HTTP requests."""
        return any(method.web is not None for method in self.methods)

    def method(self, name: str) -> MethodFacts | None:
        """The method of that name, if there is one."""
        return next((method for method in self.methods if method.name == name), None)

    def bind(self, class_name: str, given: Mapping[str, Any]) -> Values:
        """The value of every parameter, defaults included.

        Raises
        ------
        TypeError
            If a parameter is missing, unknown or of the wrong type.
        InvalidError
            If all together are too large.
        """
        known = {facts.name for facts in self.parameters}
        for name in given:
            if name not in known:
                raise TypeError(
                    f"{class_name}() got an unexpected keyword argument {name!r}; its parameters "
                    f"are {', '.join(sorted(known)) or 'none'}."
                )
        values = tuple((f.name, _value(class_name, f, given)) for f in self.parameters)
        size = sum(len(name) + _size(value) for name, value in values)
        if size > MAX_PARAMETER_BYTES:
            raise InvalidError(
                f"The parameters of `{class_name}` take {size:,} bytes; at most "
                f"{MAX_PARAMETER_BYTES:,} are allowed. Pass large data to its methods."
            )
        return values

    def to_dict(self) -> dict[str, Any]:
        """The same facts as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Interface:
        """Rebuild an interface from :meth:`to_dict`."""
        return cls(
            is_class=facts["is_class"],
            module=facts["module"],
            methods=tuple(_method_of(method) for method in facts["methods"]),
            parameters=tuple(ParameterFacts(**parameter) for parameter in facts["parameters"]),
        )


def _method_of(facts: Mapping[str, Any]) -> MethodFacts:
    web = facts["web"]
    return MethodFacts(**{**facts, "web": None if web is None else WebSettings.from_dict(web)})


def check_kind(value: Any, kind: str) -> bool:
    """Whether a value is of exactly this type; bool is not an int."""
    return type(value) is KINDS[kind]


def _value(class_name: str, facts: ParameterFacts, given: Mapping[str, Any]) -> Any:
    if facts.name not in given:
        if facts.has_default:
            return facts.default
        raise TypeError(f"{class_name}() needs the parameter `{facts.name}`; it has no default.")
    value = given[facts.name]
    if not check_kind(value, facts.kind):
        raise TypeError(
            f"Parameter `{facts.name}` of `{class_name}` must be of type {facts.kind}; "
            f"got {value!r}."
        )
    return value


def _size(value: str | bytes | int) -> int:
    if isinstance(value, int):
        return value.bit_length() // 8 + 1
    return len(value.encode() if isinstance(value, str) else value)
