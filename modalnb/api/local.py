"""An instance of a class in this process, for ``.local()`` calls of its methods."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modalnb.api.bases import Base
    from modalnb.runtime.service import Service
    from modalnb.variants import Variant


class LocalInstance:
    """Made when it is first asked for, set up before the first call of a method."""

    def __init__(self, base: Base, variant: Variant) -> None:
        self._base = base
        self._variant = variant
        self._service: Service | None = None
        self._is_entered = False
        self._entering: asyncio.Task[None] | None = None
        self._lock = threading.RLock()

    @property
    def instance(self) -> Any:
        """The instance itself, set up or not."""
        return self._made().instance

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; what it would await is awaited by the caller."""
        bound = self._made().method(method)
        if inspect.iscoroutinefunction(bound):
            return self._call_async(bound, args, kwargs)
        if inspect.isasyncgenfunction(bound):
            return self._iterate_async(bound, args, kwargs)
        self._enter()
        return bound(*args, **kwargs)

    async def _call_async(self, bound: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        await self._enter_async()
        return await bound(*args, **kwargs)

    async def _iterate_async(
        self, bound: Callable[..., Any], args: Any, kwargs: Any
    ) -> AsyncIterator[Any]:
        await self._enter_async()
        async for value in bound(*args, **kwargs):
            yield value

    def _made(self) -> Service:
        with self._lock:
            if self._service is None:
                # Each instance has a service of its own; the one of the base only describes it.
                self._service = copy.copy(self._base.source())
                self._service.make(self._variant)
            return self._service

    def _enter(self) -> None:
        with self._lock:
            if not self._is_entered:
                for work in self._made().enter():
                    _run(work)
                self._is_entered = True

    async def _enter_async(self) -> None:
        if self._is_entered:
            return
        # Whoever comes while the hooks run waits for them.
        if self._entering is None or self._entering.done():
            self._entering = asyncio.ensure_future(self._run_hooks())
        await asyncio.shield(self._entering)

    async def _run_hooks(self) -> None:
        for work in self._made().enter():
            await work
        self._is_entered = True


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run a hook to its end, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="modalnb-enter")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
