"""What the code of a web function, or of a class with web methods, unpickles to in a container."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from modalnb.runtime.endpoint import Endpoint
from modalnb.runtime.loading import Startable
from modalnb.runtime.portable import add_names, annotation_names, let_apps_travel
from modalnb.websettings import SERVE, WebSettings

RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]


class PlainFunction:
    """A function that needs no start, in the form of one that does."""

    def __init__(self, raw: Callable[..., Any]) -> None:
        self.raw = raw

    def start(self, init: Any, run_async: RunAsync) -> None:
        """There is nothing to start."""

    def method(self, name: str) -> Callable[..., Any]:
        """The function, whatever the name."""
        return self.raw

    def stop(self, run_async: RunAsync) -> None:
        """There is nothing to stop."""


class WebService:
    """Starts what is behind its endpoints, and then these; stops them in the other order.

    Parameters
    ----------
    inner : Startable
        The function or the class.
    endpoints : mapping
        The settings of each web method by its name.
    """

    def __init__(self, inner: Startable, endpoints: Mapping[str, WebSettings]) -> None:
        self._inner = inner
        self._settings = dict(endpoints)
        #: Of each endpoint, the names that its code needs beside what is pickled with it.
        self._names: dict[str, dict[str, Any]] = {}
        self._endpoints: dict[str, Endpoint] = {}

    @classmethod
    def of_function(cls, raw: Callable[..., Any], settings: WebSettings) -> WebService:
        """The service of one web function."""
        return cls(PlainFunction(raw), {SERVE: settings})

    def with_handle(self, handle: Any) -> WebService:
        """The same, not started, for another handle of its class."""
        inner: Any = self._inner
        return WebService(inner.with_handle(handle), self._settings)

    def __getstate__(self) -> dict[str, Any]:
        let_apps_travel()
        names = {name: annotation_names(self._raw_of(name)) for name in self._settings}
        return {**self.__dict__, "_names": names}

    def _raw_of(self, name: str) -> Callable[..., Any]:
        if isinstance(self._inner, PlainFunction):
            return self._inner.raw
        kind: Any = self._inner
        return inspect.getattr_static(kind.kind, name)  # type: ignore[no-any-return]

    def start(self, init: Any, run_async: RunAsync) -> None:
        """Run the hooks of a class, build the apps and let them start up."""
        _use_fast_loops()
        self._inner.start(init, run_async)
        for name, settings in self._settings.items():
            add_names(self._raw_of(name), self._names[name])
            endpoint = Endpoint(self._inner.method(name), settings)
            run_async(endpoint.start())
            self._endpoints[name] = endpoint

    def method(self, name: str) -> Callable[..., Any]:
        """What runs an input: of an endpoint its leases, else a method of the class."""
        endpoint = self._endpoints.get(name)
        return self._inner.method(name) if endpoint is None else endpoint.serve

    def stop(self, run_async: RunAsync) -> None:
        """Let the apps shut down, then run the hooks of a class."""
        try:
            for endpoint in self._endpoints.values():
                run_async(endpoint.stop())
        finally:
            self._inner.stop(run_async)


def _use_fast_loops() -> None:
    """Make the event loop of the user's code a faster one, if one is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
