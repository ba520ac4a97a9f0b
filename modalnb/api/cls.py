"""Classes: handles to make instances of, declared by ``@app.cls`` or looked up by name."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modalnb.api import current, display
from modalnb.api.bases import Base, Declared, Reference, is_by_name, named
from modalnb.api.decorators import check_batched, marked_fields
from modalnb.api.hydrating import Hydratable
from modalnb.api.instance import Method, Obj, OwnMethod
from modalnb.api.members import members_of, refuse_batches_among
from modalnb.api.options import Optioned
from modalnb.api.web import class_carrier
from modalnb.exception import InvalidError, NotFoundError
from modalnb.interface import Interface
from modalnb.payload.code import note_handle
from modalnb.variants import PLAIN, Variant

if TYPE_CHECKING:
    from modalnb.api.app import App
    from modalnb.api.declaring import Declaration
    from modalnb.plane.stub import Stub

#: What instances have and their class has not.
_OF_INSTANCES = ("explain", "get_current_stats", "snapshot", "update_autoscaler")


class Cls(Optioned, Hydratable):
    """A class whose methods run in containers; made by ``@app.cls`` or :meth:`from_name`.

    Calling it with the values of its parameters makes an instance.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App()
    >>> @app.cls()
    ... class Model:
    ...     size: str = modal.parameter(default="small")
    ...     @modal.method()
    ...     def predict(self, x):
    ...         return f"{self.size}: {x}"
    >>> Model(size="large").predict.local(3)
    'large: 3'
    """

    __modalnb_fixed__ = True

    def __init__(self, base: Base, variant: Variant = PLAIN) -> None:
        self._base = base
        self._variant = variant
        self._name = variant.name_of(base.name)
        if base.raw is not None:
            self.__doc__ = base.raw.__doc__

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str,
        *,
        version: int | None = None,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Cls:
        """A handle of a class by the names of its app and its own; looked up at first use.

        Parameters
        ----------
        app_name, name : str
            The app must be deployed, or running, when an instance is made.
        version, environment_name, client : optional
            Accepted as in Modal; there is one version and one environment here.

        Raises
        ------
        InvalidError
            If a name is no str, or `name` has a dot in it.
        NotFoundError
            At first use, if there is no such app or class.

        Examples
        --------
        >>> import modalnb as modal
        >>> Model = modal.Cls.from_name("my-app", "Model")
        >>> Model(size="large").predict.remote(3)  # doctest: +SKIP
        """
        return Cls(named(app_name, name, is_class=True))

    def _look_up(self) -> None:
        self._interface()

    def __call__(self, *misused: Any, **parameters: Any) -> Obj:
        if misused:
            raise InvalidError(
                f"Parameters of `{self._base.name}` are given by name; got {misused[0]!r}. "
                f"Write `{self._base.name}(name=value)`."
            )
        values = self._interface().bind(self._base.name, parameters)
        if self._variant.options.get("batch"):
            self._check_batches()
        return Obj(self._base, replace(self._variant, parameters=values))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute {name!r}")
        if name in _OF_INSTANCES or self._interface().method(name) is not None:
            raise AttributeError(
                f"`{name}` belongs to instances of `{self._base.name}`. Did you forget to "
                f"instantiate the class? Write `{self._base.name}().{name}`."
            )
        if is_by_name(self._base):
            raise NotFoundError(
                f"`{self._base.name}` has no method `{name}`; of a class from elsewhere only "
                "methods can be used."
            )
        return getattr(self._base.source().kind, name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """Let a class derive from a decorated one."""
        if self._base.raw is None:
            raise InvalidError(
                f"`{self._base.name}` came from elsewhere; nothing can be derived from it."
            )
        return (self._base.raw,)

    def _interface(self) -> Interface:
        if self._base.interface is None:
            assert isinstance(self._base, Reference)
            self._base.look_up(current.stub())
        assert self._base.interface is not None
        return self._base.interface

    def _ensure(self, stub: Stub) -> None:
        """Let the plane know the class before other code makes instances."""
        self._base.ready(stub, PLAIN)

    def _with(self, variant: Variant) -> Cls:
        return Cls(self._base, variant)

    def _check_batches(self) -> None:
        interface = self._base.interface
        if interface is not None:
            refuse_batches_among(self._base.name, [method.name for method in interface.methods])
        if self._base.raw is not None:
            for method in self._interface().methods:
                check_batched(inspect.getattr_static(self._base.raw, method.name))

    def _in(self, base: Declared) -> Cls:
        """The same in another app."""
        return _handle_of(base)

    def _equip(self, instance: Any, variant: Variant) -> None:
        """Let the methods of an instance in a container call each other by ``self.method``."""
        for facts in self._interface().methods:
            bound = getattr(instance, facts.name)
            own = OwnMethod(bound, Method(self._base, variant, facts.name))
            try:
                object.__setattr__(instance, facts.name, own)
            except AttributeError:
                # With `__slots__`, methods are called as in any other class.
                return

    def __reduce__(self) -> tuple[Any, ...]:
        note_handle(self)
        return Cls, (self._base.reference(), self._variant)

    def __repr__(self) -> str:
        return display.class_text(self)


def declare_class(app: App, kind: Any, declaration: Declaration) -> Cls:
    """What ``@app.cls`` makes of a class.

    Raises
    ------
    TypeError
        If it is no class.
    InvalidError
        If it cannot run in containers.
    """
    if isinstance(kind, Cls):
        raise InvalidError(f"`@app.cls` is on `{kind._base.name}` twice. Leave out one.")
    if not isinstance(kind, type):
        raise TypeError(f"`@app.cls` is for classes; use `@app.function()` for {kind!r}.")
    members = members_of(
        kind, has_snapshots=declaration.has_snapshots, retries=declaration.settings.retries
    )
    base = Declared(
        kind.__name__,
        app=app,
        raw=kind,
        settings=declaration.settings.with_options(marked_fields(kind, members.batch)),
        interface=members.interface,
        carrier=class_carrier(kind, members.interface, enter=members.enter, exit=members.exit),
    )
    return _handle_of(base)


def _handle_of(base: Declared) -> Cls:
    """The handle of a class, which travels with its code."""
    handle = Cls(base)
    base.carrier = base.carrier.with_handle(handle)
    return handle
