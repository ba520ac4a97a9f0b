"""Class parameters: annotated attributes that an instance is made with."""

from __future__ import annotations

from typing import Any

from modalnb.exception import InvalidError
from modalnb.interface import KINDS, ParameterFacts, check_kind


class Unset:
    """Stands for a default that was not given, also after pickling."""


UNSET = Unset()


class Parameter:
    """An attribute of a class whose instances are made with values for it."""

    __modalnb_fixed__ = True

    def __init__(self, default: Any, *, init: bool) -> None:
        self.default = default
        self.init = init
        self.name = ""

    @property
    def has_default(self) -> bool:
        """Whether instances need not give a value."""
        return not isinstance(self.default, Unset)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if self.has_default:
            return self.default
        raise AttributeError(f"`{self.name}` has no value yet.")


def parameter(*, default: Any = UNSET, init: bool = True) -> Any:
    """Declare a parameter of a class: ``size: str = modal.parameter(default="small")``.

    Instances are made with keywords, ``Model(size="large")``, and each set of values has a pool
    of containers of its own.  The values are there in ``self`` before any ``@enter`` hook.

    Parameters
    ----------
    default : str, int, bytes or bool, optional
        Without it, instances have to give a value.
    init : bool, default True
        Whether instances are made with it; otherwise it is an ordinary attribute with a type.

    Raises
    ------
    InvalidError
        By ``@app.cls``, if it is not annotated with ``str``, ``int``, ``bytes`` or ``bool``, or
        the default is of another type.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App()
    >>> @app.cls()
    ... class Greeter:
    ...     greeting: str = modal.parameter(default="Hello")
    ...     @modal.method()
    ...     def greet(self, name):
    ...         return f"{self.greeting} {name}!"
    >>> Greeter(greeting="Ahoi").greet.local("Ada")
    'Ahoi Ada!'
    """
    if not isinstance(init, bool):
        raise InvalidError(f"`init` of `parameter` must be a bool; got {init!r}.")
    return Parameter(default, init=init)


def parameters_of(kind: type) -> tuple[ParameterFacts, ...]:
    """The parameters that instances of a class are made with, base classes first.

    Raises
    ------
    InvalidError
        If one has a wrong type or default, or the class has a constructor of its own.
    """
    found: dict[str, Parameter] = {}
    for owner in reversed(kind.__mro__):
        for name, value in vars(owner).items():
            if isinstance(value, Parameter):
                found[name] = value
            elif name in found:
                del found[name]
    if any(getattr(kind, name) is not getattr(object, name) for name in ("__init__", "__new__")):
        raise InvalidError(
            f"Class `{kind.__name__}` has a constructor of its own. Declare what its instances "
            "are made with as `modal.parameter()`, and set them up in `@modal.enter()`."
        )
    return tuple(_facts(kind, parameter) for parameter in found.values() if parameter.init)


def _facts(kind: type, parameter: Parameter) -> ParameterFacts:
    label = f"Parameter `{parameter.name}` of class `{kind.__name__}`"
    name = _kind_of(kind, parameter.name)
    if name is None:
        raise InvalidError(f"{label} must be annotated with str, int, bytes or bool.")
    if not parameter.has_default:
        return ParameterFacts(name=parameter.name, kind=name)
    if not check_kind(parameter.default, name):
        raise InvalidError(
            f"{label} must have a default of type {name}; got {parameter.default!r}."
        )
    return ParameterFacts(
        name=parameter.name, kind=name, has_default=True, default=parameter.default
    )


def _kind_of(kind: type, parameter: str) -> str | None:
    """The annotated type by name; annotations are text where a module asks for that."""
    for owner in kind.__mro__:
        hint = vars(owner).get("__annotations__", {}).get(parameter)
        if hint is not None:
            return next((name for name, known in KINDS.items() if hint in (name, known)), None)
    return None
