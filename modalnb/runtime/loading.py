"""Turns the code of inputs into what can be called; starts and stops what has a life of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, runtime_checkable

from modalnb.messages import whole_code
from modalnb.payload import code as codes
from modalnb.payload import envelope
from modalnb.payload.shared_memory import Depot
from modalnb.runtime.invoke import Callee

#: Runs a coroutine on the event loop of the user's code and waits for it.
RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]


@runtime_checkable
class Startable(Protocol):
    """What code unpickles to when something must start before its first input, as in a class."""

    def start(self, init: Any, run_async: RunAsync) -> None:
        """Start; `init` is what the handle of the caller was made with."""

    def method(self, name: str) -> Callable[..., Any]:
        """What runs an input that names this method."""

    def stop(self, run_async: RunAsync) -> None:
        """Stop."""


class Loader:
    """The code that a container has; used on the thread of the user's code."""

    def __init__(self, depot: Depot | None) -> None:
        self._depot = depot
        self._blobs: dict[str, Any] = {}
        self._loaded: dict[str, Callee] = {}
        self._init: Any = None
        self._service: Startable | None = None
        self._service_code = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Code is being imported or something starts, which takes no time of any input.
        self.is_loading = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The one event loop of the user's code."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def add(self, code: str, blob: Any) -> None:
        """Keep code until an input needs it."""
        self._blobs[code] = blob

    def must_start(self, code: str) -> bool:
        """Whether something has to stop and to start before this code can run."""
        return "#" in code and whole_code(code) != self._service_code

    def prepare(self, code: str, init: Any) -> None:
        """Start what this code is; nothing of it may run yet."""
        self._init = init
        self._start(whole_code(code))

    def callee(self, code: str) -> Callee:
        """What runs inputs with this code."""
        known = self._loaded.get(code)
        if known is not None:
            return known
        self.is_loading = True
        try:
            return self._load(code)
        finally:
            self.is_loading = False

    def _load(self, code: str) -> Callee:
        function: Callable[..., Any]
        name, _, method = code.partition("#")
        if not method:
            function = codes.load(self._blobs[code])
        else:
            if name != self._service_code:
                self._start(name)
            assert self._service is not None
            function = self._service.method(method)
        callee = self._loaded[code] = Callee(function)
        return callee

    def _start(self, code: str) -> None:
        self.stop()
        service: Any = codes.load(self._blobs[code])
        init = (
            None if self._init is None else envelope.unpack(self._init, self._depot, "parameters")
        )
        if self._loop is None and (new_loop := getattr(service, "new_loop", None)):
            self._loop = new_loop()
        service.start(init, self.run_async)
        self._service, self._service_code = service, code

    def stop(self) -> None:
        """Stop what was started."""
        service, self._service, self._service_code = self._service, None, ""
        self._loaded.clear()
        if service is not None:
            service.stop(self.run_async)

    def close(self) -> None:
        """Stop what was started, and the event loop with it."""
        try:
            self.stop()
        finally:
            if self._loop is not None:
                self._loop.close()

    def run_async(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the user's loop, which does not run at this moment."""
        return self.loop.run_until_complete(work)
