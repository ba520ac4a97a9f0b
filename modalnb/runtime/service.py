"""An instance of a user's class in its container: made, set up, used and torn down."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Protocol

from modalnb.exception import ExecutionError
from modalnb.payload.failure import users_part
from modalnb.variants import PLAIN, Variant

#: Runs a coroutine to its end, on the event loop of the user code.
RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]


class Handle(Protocol):
    """The caller's end of the class, for methods that call each other."""

    def _equip(self, instance: Any, variant: Variant) -> None:
        """Give an instance what its methods may use of itself."""


class Service:
    """What the code of a class unpickles to in a container.

    Parameters
    ----------
    kind : type
        The user's class.
    enter, exit : iterable of str
        Names of the hooks, in the order in which they run.
    handle : Handle, optional
        What makes ``self.method.remote(...)`` work.

    Examples
    --------
    >>> class Greeter:
    ...     def load(self):
    ...         self.greeting = "Hello"
    ...     def greet(self, name):
    ...         return f"{self.greeting} {name}!"
    >>> service = Service(Greeter, enter=("load",))
    >>> service.start(None, run_async=None)
    >>> service.method("greet")("Ada")
    'Hello Ada!'
    """

    def __init__(
        self,
        kind: type,
        *,
        enter: Iterable[str] = (),
        exit: Iterable[str] = (),
        handle: Handle | None = None,
    ) -> None:
        self.kind = kind
        self._enter = tuple(enter)
        self._exit = tuple(exit)
        self._handle = handle
        self.instance: Any = None

    def with_handle(self, handle: Handle | None) -> Service:
        """The same, not started, for another handle."""
        return Service(self.kind, enter=self._enter, exit=self._exit, handle=handle)

    # -- life ------------------------------------------------------------------------------

    def make(self, variant: Variant | None) -> None:
        """Make the instance with its parameters, without setting it up."""
        variant = variant or PLAIN
        self.instance = self.kind()
        for name, value in variant.parameters:
            setattr(self.instance, name, value)
        if self._handle is not None:
            self._handle._equip(self.instance, variant)

    def start(self, variant: Variant | None, run_async: RunAsync) -> None:
        """Make the instance and run the ``@enter`` hooks; whatever one raises goes through."""
        self.make(variant)
        for work in self.enter():
            run_async(work)

    def enter(self) -> Iterator[Coroutine[Any, Any, Any]]:
        """Run the ``@enter`` hooks; coroutines are given out, to be run before the next one."""
        return self._run(self._enter)

    def method(self, name: str) -> Callable[..., Any]:
        """The function behind a method, bound to the instance."""
        function = inspect.getattr_static(self.kind, name, None)
        if function is None:
            raise ExecutionError(f"Class `{self.kind.__name__}` has no method `{name}` any more.")
        # What the handle put into the instance is for callers; this is the user's own.
        return function.__get__(self.instance, self.kind)  # type: ignore[no-any-return]

    def stop(self, run_async: RunAsync) -> None:
        """Run the ``@exit`` hooks; one that raises is shown, and does not stop the others."""
        for name in self._exit:
            try:
                for work in self._run((name,)):
                    run_async(work)
            except Exception as error:
                shown = error.with_traceback(users_part(error.__traceback__))
                traceback.print_exception(shown)

    def _run(self, hooks: Iterable[str]) -> Iterator[Coroutine[Any, Any, Any]]:
        for name in hooks:
            result = self.method(name)()
            if inspect.iscoroutine(result):
                yield result
