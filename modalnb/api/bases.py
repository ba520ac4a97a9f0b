"""A function or class, declared here or known by name: what all its handles have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.api import current
from modalnb.api.registering import ask_variant
from modalnb.api.waiting import ask
from modalnb.exception import ExecutionError, InvalidError
from modalnb.interface import Interface
from modalnb.payload import code as codes
from modalnb.payload.code import CodeCache, Definition
from modalnb.runtime import context
from modalnb.settings import FunctionSettings
from modalnb.variants import Variant

if TYPE_CHECKING:
    from modalnb.api.app import App
    from modalnb.plane.stub import Stub


class Base(ABC):
    """What pools are made from; each :class:`Variant` of it has one."""

    name: str
    #: The app that declared it; None if it is known by name only.
    app: App | None = None
    #: The user's function or class; None if it is known by name only.
    raw: Any = None
    #: What is pickled in its place, if anything.
    carrier: Any = None
    #: None before a name was looked up.
    interface: Interface | None = None
    settings: FunctionSettings | None = None

    @abstractmethod
    def ready(self, stub: Stub, variant: Variant) -> tuple[str, str | None]:
        """The pool of a variant, which the plane knows then, and its code if that is known here."""

    @abstractmethod
    def reference(self) -> Reference:
        """The same for another process."""

    @abstractmethod
    def source(self) -> Any:
        """What runs here: the user's function, or a service that makes instances of the class.

        Raises
        ------
        ExecutionError
            If the code is elsewhere.
        """


class Declared(Base):
    """A function or class that an app declared in this process."""

    app: App
    interface: Interface
    settings: FunctionSettings

    def __init__(
        self,
        name: str,
        *,
        app: App,
        raw: Any,
        settings: FunctionSettings,
        interface: Interface,
        carrier: Any = None,
    ) -> None:
        self.name = name
        self.app = app
        self.raw = raw
        self.settings = settings
        self.interface = interface
        self.carrier = carrier
        self._cache = CodeCache(name)

    def definition(self) -> Definition:
        """The code as it is now."""
        return self._cache.current(self.raw, self.carrier)

    def ready(self, stub: Stub, variant: Variant) -> tuple[str, str | None]:
        return self.app._registration.ready(stub, self, variant)

    def reference(self) -> Reference:
        return Reference(self.name, app_id=self.app.app_id, interface=self.interface)

    def source(self) -> Any:
        return self.carrier if isinstance(self.raw, type) else self.raw

    def of(self, app: App) -> Declared:
        """The same in another app."""
        return Declared(
            self.name,
            app=app,
            raw=self.raw,
            settings=self.settings,
            interface=self.interface,
            carrier=self.carrier,
        )


class Reference(Base):
    """A function or class by name; it is looked up at first use."""

    def __init__(
        self,
        name: str,
        *,
        app_name: str = "",
        app_id: str | None = None,
        interface: Interface | None = None,
        is_class: bool = False,
    ) -> None:
        self.name = name
        self.app_name = app_name
        self.interface = interface
        self._app_id = app_id
        self._is_class = interface.is_class if interface is not None else is_class
        #: Where variants were asked for, and the pools that they got.
        self._stub: Stub | None = None
        self._pools: dict[str, str] = {}
        #: In a container, what was loaded, its code, and the input that looked last.
        self._source: Any = None
        self._code = ""
        self._looked_for: Any = None

    def ready(self, stub: Stub, variant: Variant) -> tuple[str, str | None]:
        pool_id = m.pool_id_of(self.look_up(stub), self.name)
        if variant.is_plain:
            return pool_id, None
        if self._stub is not stub:
            self._stub = stub
            self._pools.clear()
        name = variant.name_of(self.name)
        if name not in self._pools:
            self._pools[name] = ask_variant(stub, pool_id, name, variant)
        return self._pools[name], None

    def look_up(self, stub: Stub) -> str:
        """The id of the app, after asking the plane once for it and for the interface."""
        if self._app_id is None:
            answer = ask(
                stub, "lookup", app=self.app_name, function=self.name, is_class=self._is_class
            )
            self.interface = Interface.from_dict(answer["interface"])
            self._app_id = answer["app_id"]
        return self._app_id

    def reference(self) -> Reference:
        return self

    def source(self) -> Any:
        """What a container gets to run without a container of its own.

        Code does not travel with that which calls it, so a container fetches it when it is asked
        to run it; each input looks whether it has changed.
        """
        if self.app_name or context.home() is None:
            raise ExecutionError(
                f"`{self.name}` has no local definition: the handle came from `from_name`. "
                "Use `.remote(...)`."
            )
        looking_for = context.current.get()
        if self._source is None or looking_for is not self._looked_for:
            stub = current.stub()
            pool_id = m.pool_id_of(self.look_up(stub), self.name)
            answer = ask(stub, "code", pool_id=pool_id, known=self._code)
            if answer["blob"] is not None:
                self._source, self._code = codes.load(answer["blob"]), answer["code"]
            self._looked_for = looking_for
        return self._source

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.name, self.app_name, self._app_id, self.interface, self._is_class)


def _rebuild(
    name: str, app_name: str, app_id: str | None, interface: Interface | None, is_class: bool
) -> Reference:
    return Reference(name, app_name=app_name, app_id=app_id, interface=interface, is_class=is_class)


def is_by_name(base: Base) -> bool:
    """Whether it comes from ``from_name``, not from the code around."""
    return isinstance(base, Reference) and bool(base.app_name)


def named(app_name: Any, name: Any, *, is_class: bool) -> Reference:
    """What ``from_name`` stands for.

    Raises
    ------
    InvalidError
        If a name is no str, or `name` is that of a method.
    """
    for label, value in (("app_name", app_name), ("name", name)):
        if not isinstance(value, str) or not value:
            raise InvalidError(f"`{label}` must be a str that is not empty; got {value!r}.")
    if "." in name:
        what = "class" if is_class else "function"
        raise InvalidError(
            f"`name` must name a {what}; got {name!r}. For the method of a class, use "
            "`Cls.from_name` with the name of the class."
        )
    return Reference(name, app_name=app_name, is_class=is_class)
