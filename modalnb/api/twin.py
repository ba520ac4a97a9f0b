"""Methods with an ``.aio`` twin: the plain form blocks, the twin is awaited."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from modalnb.exception import InvalidError

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_LOOP_CODE = ("asyncio", "tornado", "ipykernel", "IPython", "uvloop")


class Twin:
    """What ``obj.method`` gives: callable, with ``.aio`` beside it."""

    def __init__(self, blocking: Callable[..., Any], aio: Callable[..., Any]) -> None:
        self._blocking = blocking
        #: The form to await, or to iterate with ``async for``.
        self.aio = aio
        functools.update_wrapper(self, blocking)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        refuse_in_coroutine(self._blocking.__qualname__)
        return self._blocking(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<method {self._blocking.__qualname__}, with .aio>"


class twin:
    """Make a method a :class:`Twin`; the other half is named with :meth:`aio`.

    Examples
    --------
    >>> class Door:
    ...     @twin
    ...     def open(self):
    ...         return 1
    ...     @open.aio
    ...     async def _open_aio(self):
    ...         return 1
    >>> Door().open()
    1
    """

    def __init__(self, blocking: Callable[..., Any]) -> None:
        self._blocking = blocking
        self._aio: Callable[..., Any] | None = None
        self.__doc__ = blocking.__doc__

    def aio(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Name the function behind ``.aio``."""
        self._aio = function
        return function

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        assert self._aio is not None
        blocking = functools.partial(self._blocking, owner)
        functools.update_wrapper(blocking, self._blocking)
        return Twin(blocking, functools.partial(self._aio, owner))


class static_twin(twin):
    """The same for functions that belong to a class but to no instance."""

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        assert self._aio is not None
        return Twin(self._blocking, self._aio)


def refuse_in_coroutine(name: str) -> None:
    """Raise if the caller is a coroutine, whose event loop a blocking call would stop.

    A notebook runs its cells under an event loop, so a running loop alone says nothing: what
    counts is a coroutine of the user's between here and the loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not _is_loop_code(frame):
        code = frame.f_code
        if code.co_flags & _COROUTINE and not code.co_name.startswith("<"):
            raise InvalidError(
                f"`{name}` blocks, but it was called in the coroutine `{code.co_name}`, whose "
                f"event loop it would stop. Use `await {name}.aio(...)` there "
                f"(`async for ... in {name}.aio(...)` for maps)."
            )
        frame = frame.f_back


def _is_loop_code(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _LOOP_CODE
