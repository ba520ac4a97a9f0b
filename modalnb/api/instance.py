"""Instances of classes, for callers: methods to call in containers, and the pool behind them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NoReturn

from modalnb import messages as m
from modalnb.api import display
from modalnb.api.bases import Base, is_by_name
from modalnb.api.function import Function
from modalnb.api.local import LocalInstance
from modalnb.api.scaling import Scalable
from modalnb.exception import InvalidError, NotFoundError
from modalnb.interface import Interface
from modalnb.payload.code import note_handle
from modalnb.variants import Variant

if TYPE_CHECKING:
    from modalnb.plane.stub import Stub


class Obj(Scalable):
    """An instance of a class; its methods share one pool of containers.

    Instances with equal parameters and options share it too, wherever they were made.  What is
    not a ``@modal.method()`` runs and lives in this process only.
    """

    __modalnb_fixed__ = True

    def __init__(self, base: Base, variant: Variant) -> None:
        self._base = base
        self._variant = variant
        self._name = variant.name_of(base.name)
        self._local = LocalInstance(base, variant)
        # Entries of their own go before whatever else has the name here: the user's names win.
        interface = base.interface or Interface()
        for name, value in variant.parameters:
            self.__dict__[name] = value
        for method in interface.methods:
            self.__dict__[method.name] = Method(base, variant, method.name, self._local)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute {name!r}")
        if is_by_name(self._base):
            raise NotFoundError(
                f"`{self._name}` has no method `{name}`; of a class from elsewhere only methods "
                "and parameters can be used."
            )
        return getattr(self._local.instance, name)

    def _pool_id(self, stub: Stub) -> str:
        return self._base.ready(stub, self._variant)[0]

    def _ensure(self, stub: Stub) -> None:
        """Let the plane know the instance before other code calls it."""
        self._base.ready(stub, self._variant)

    def __reduce__(self) -> tuple[Any, ...]:
        note_handle(self)
        return Obj, (self._base.reference(), self._variant)

    def __repr__(self) -> str:
        return display.handle_text(self)

    def _repr_html_(self) -> str:
        return display.handle_html(self)


class Method(Function):
    """A method of an instance; it is called as a :class:`Function` is."""

    def __init__(
        self, base: Base, variant: Variant, method: str, local: LocalInstance | None = None
    ) -> None:
        super().__init__(base, variant)
        self._method = method
        self._local = local or LocalInstance(base, variant)
        self._name = f"{self._name}.{method}"
        self.__doc__ = getattr(self._raw, "__doc__", None)

    @property
    def _raw(self) -> Any:
        return inspect.getattr_static(self._base.raw, self._method, None)

    def _code(self, code: str | None) -> str | None:
        return m.code_of_method(code, self._method)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Run the method here, on an instance of this process.

        The ``@modal.enter`` hooks run before the first such call, the ``@modal.exit`` hooks never.

        Raises
        ------
        ExecutionError
            On a handle from elsewhere, which has no local definition.
        """
        return self._local.call(self._method, args, kwargs)

    def _with(self, variant: Variant) -> NoReturn:
        raise InvalidError(
            f"Options are for the class, whose methods share one pool: use "
            f"`{self._base.name}.with_options(...)` and make an instance of that."
        )

    def _updated(self, *values: Any) -> NoReturn:
        raise InvalidError(
            f"`{self._name}` has no pool of its own: methods share that of their instance. "
            "Call it on the class instance."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        note_handle(self)
        return Method, (self._base.reference(), self._variant, self._method)


class OwnMethod:
    """What ``self.method`` is inside of an instance: callable, with all that a handle has."""

    def __init__(self, bound: Any, handle: Method) -> None:
        self._bound = bound
        self._handle = handle
        self.__doc__ = bound.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._bound(*args, **kwargs)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Run the method here, on this instance."""
        return self._bound(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_handle" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._handle, name)

    def __repr__(self) -> str:
        return repr(self._handle)
