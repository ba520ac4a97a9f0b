"""Decorators for the members of a class, and what a decorated class is found to have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from modalnb.api.declaring import check_generator
from modalnb.api.declaring import is_generator as generates
from modalnb.api.decorators import batching_of
from modalnb.api.parameters import parameters_of
from modalnb.api.web import web_facts
from modalnb.exception import InvalidError
from modalnb.interface import Interface, MethodFacts
from modalnb.settings import BatchSettings
from modalnb.websettings import ATTRIBUTE as WEB_MARK
from modalnb.websettings import web_settings_of

Raw = TypeVar("Raw", bound=Callable[..., Any])

_ENTER, _EXIT, _METHOD = "__modalnb_enter__", "__modalnb_exit__", "__modalnb_method__"
_NAMES = {_ENTER: "@modal.enter", _EXIT: "@modal.exit", _METHOD: "@modal.method"}


def method(*misused: Any, is_generator: bool | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Make a method of an ``@app.cls`` one that can be called in containers.

    Parameters
    ----------
    is_generator : bool, optional
        Whether it yields its results; by default as it is written.

    Raises
    ------
    InvalidError
        If it is used without parentheses, on something else than a function, or together with
        ``@modal.enter`` or ``@modal.exit``.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App()
    >>> @app.cls()
    ... class Model:
    ...     @modal.enter()
    ...     def load(self):
    ...         self.factor = 2
    ...     @modal.method()
    ...     def predict(self, x):
    ...         return self.factor * x
    >>> Model().predict.local(3)
    6
    """
    _check_call("method", misused)

    def mark(raw: Callable[..., Any]) -> Any:
        return _mark(raw, _METHOD, is_generator)

    return mark


def enter(*misused: Any, snap: bool = False) -> Callable[[Raw], Raw]:
    """Make a method run in each new container of its class, before the first input.

    A container counts as ready when all of them have returned; one that raises fails the start.

    Parameters
    ----------
    snap : bool, default False
        Run before those without it. It needs ``@app.cls(enable_memory_snapshot=True)``, as in
        Modal; there are no snapshots here.

    Raises
    ------
    InvalidError
        As for :func:`method`.

    Examples
    --------
    >>> class Model:
    ...     @enter()
    ...     def load(self):
    ...         self.factor = 2
    """
    _check_call("enter", misused)
    if not isinstance(snap, bool):
        raise InvalidError(f"`snap` must be a bool; got {snap!r}.")

    def mark(raw: Raw) -> Raw:
        return _mark(raw, _ENTER, snap)

    return mark


def exit(*misused: Any) -> Callable[[Raw], Raw]:
    """Make a method run when a container of its class leaves, for up to 30 seconds.

    Raises
    ------
    InvalidError
        As for :func:`method`.

    Examples
    --------
    >>> class Model:
    ...     @exit()
    ...     def close(self):
    ...         ...
    """
    _check_call("exit", misused)

    def mark(raw: Raw) -> Raw:
        return _mark(raw, _EXIT, True)

    return mark


def _check_call(name: str, misused: tuple[Any, ...]) -> None:
    if misused:
        raise InvalidError(f"Write `@modal.{name}()` with parentheses.")


def _mark(raw: Raw, mark: str, value: Any) -> Raw:
    if isinstance(raw, type | staticmethod | classmethod) or not callable(raw):
        raise InvalidError(
            f"`{_NAMES[mark]}` must be put on a method of a class; got {raw!r}. "
            "A static or class method cannot be one."
        )
    setattr(raw, mark, value)
    _refuse_both(raw)
    return raw


def _refuse_both(raw: Any) -> None:
    is_hook = hasattr(raw, _ENTER) or hasattr(raw, _EXIT)
    if hasattr(raw, _METHOD) and web_settings_of(raw):
        raise InvalidError(
            f"`{raw.__name__}` cannot be both called and reached by HTTP. Write two methods, or "
            "leave out `@modal.method()`."
        )
    if is_hook and (hasattr(raw, _METHOD) or batching_of(raw) or web_settings_of(raw)):
        raise InvalidError(
            f"`{raw.__name__}` cannot be both a method for callers and a hook of its container. "
            "Write two methods."
        )


def is_marked(raw: Any) -> bool:
    """Whether a function is marked as a member of a class."""
    marks = (*_NAMES, WEB_MARK)
    return any(mark in getattr(raw, "__dict__", ()) for mark in marks) or bool(batching_of(raw))


def refuse_member(raw: Any) -> None:
    """Refuse a marked method as a function of an app."""
    if any(hasattr(raw, mark) for mark in _NAMES):
        raise InvalidError(
            f"`{raw.__name__}` is marked as a member of a class, so it cannot have "
            "`@app.function`. Put `@app.cls()` on its class."
        )


# -- reading -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """What a class is made of."""

    interface: Interface
    enter: tuple[str, ...]
    exit: tuple[str, ...]
    batch: BatchSettings | None


def members_of(kind: type, *, has_snapshots: bool, retries: Any) -> Members:
    """Read a decorated class, base classes first, in the order of definition.

    Raises
    ------
    InvalidError
        If it cannot run in containers; the text says why.
    """
    if inspect.isabstract(kind):
        raise InvalidError(
            f"Class `{kind.__name__}` is abstract, so it has no instances. Put `@app.cls()` on a "
            "class that derives from it."
        )
    marked = _marked(kind)
    early = [name for name, raw in marked.items() if getattr(raw, _ENTER, None) is True]
    late = [name for name, raw in marked.items() if getattr(raw, _ENTER, None) is False]
    exits = [name for name, raw in marked.items() if hasattr(raw, _EXIT)]
    if early and not has_snapshots:
        raise InvalidError(
            f"`{early[0]}` has `@modal.enter(snap=True)`, which needs "
            "`@app.cls(enable_memory_snapshot=True)`. Add that, or leave out `snap`."
        )
    for name in (*early, *late, *exits):
        _check_hook(kind, name)
    methods = tuple(
        _method_facts(kind, name, raw, retries)
        for name, raw in marked.items()
        if hasattr(raw, _METHOD) or batching_of(raw) or web_settings_of(raw)
    )
    return Members(
        interface=Interface(
            is_class=True,
            module=kind.__module__,
            methods=methods,
            parameters=parameters_of(kind),
        ),
        enter=(*early, *late),
        exit=tuple(exits),
        batch=_batch_of(kind, [method.name for method in methods]),
    )


def _method_facts(kind: type, name: str, raw: Any, retries: Any) -> MethodFacts:
    function = getattr(kind, name)
    is_generator = generates(function, getattr(raw, _METHOD, None))
    if is_generator:
        check_generator(function, retries)
    return MethodFacts(name=name, is_generator=is_generator, web=web_facts(raw))


def _batch_of(kind: type, methods: list[str]) -> BatchSettings | None:
    batched = [name for name in methods if batching_of(getattr(kind, name))]
    if len(batched) > 1:
        raise InvalidError(
            f"Class `{kind.__name__}` has {len(batched)} batched methods, `{batched[0]}` and "
            f"`{batched[1]}`; it cannot have more than one. Write two classes."
        )
    if not batched:
        return None
    refuse_batches_among(kind.__name__, methods)
    return batching_of(getattr(kind, batched[0]))


def refuse_batches_among(name: str, methods: Sequence[str]) -> None:
    """Refuse a batched method beside others: they share slots, and batches take whole ones."""
    if len(methods) > 1:
        raise InvalidError(
            f"Class `{name}` has a batched method, so it cannot have other modal methods; it has "
            f"{', '.join(f'`{method}`' for method in methods)}. Write two classes."
        )


def _marked(kind: type) -> dict[str, Any]:
    """What is marked, by name; what overrides it without a mark has the same one."""
    marked: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        for name, value in vars(owner).items():
            if isinstance(value, staticmethod | classmethod):
                if is_marked(value.__func__):
                    raise InvalidError(
                        f"`{name}` of class `{kind.__name__}` is marked for containers, but it is "
                        "static or belongs to the class. Give it `self`."
                    )
                marked.pop(name, None)
            elif is_marked(value):
                _refuse_both(value)
                marked[name] = value
            elif not callable(value):
                marked.pop(name, None)
    return marked


def _check_hook(kind: type, name: str) -> None:
    try:
        inspect.signature(getattr(kind, name)).bind(None)
    except TypeError as error:
        raise InvalidError(
            f"`{name}` of class `{kind.__name__}` is a hook, which gets nothing but `self` "
            f"({error}). Use `modal.parameter()` for values in which instances differ."
        ) from None
