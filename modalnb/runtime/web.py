"""What the code of a web function, or of a class with web methods, unpickles to in a container."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from modalnb.runtime.endpoint import Endpoint
from modalnb.runtime.portable import add_names, annotation_names, let_apps_travel
from modalnb.runtime.service import Handle, Service
from modalnb.tunnel import new_loop
from modalnb.variants import Variant
from modalnb.websettings import SERVE, WebSettings

RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]


class Endpoints:
    """The endpoints of one service by the names that inputs use, while its container runs."""

    def __init__(self, settings: Mapping[str, WebSettings]) -> None:
        self.settings = dict(settings)
        #: Of each endpoint, the names that its code needs beside what is pickled with it.
        self._names: dict[str, dict[str, Any]] = {}
        self._running: dict[str, Endpoint] = {}

    def for_travel(self, raw_of: Callable[[str], Any]) -> Endpoints:
        """The same, ready to be pickled with the functions themselves."""
        let_apps_travel()
        packed = Endpoints(self.settings)
        packed._names = {name: annotation_names(raw_of(name)) for name in self.settings}
        return packed

    def start(self, function_of: Callable[[str], Callable[..., Any]], run_async: RunAsync) -> None:
        """Build the apps and let them start up."""
        for name, settings in self.settings.items():
            function = function_of(name)
            add_names(function, self._names.get(name, {}))
            endpoint = Endpoint(function, settings)
            run_async(endpoint.start())
            self._running[name] = endpoint

    def get(self, name: str) -> Callable[..., Any] | None:
        """What runs an input of this endpoint; None if it is no endpoint, or not started."""
        endpoint = self._running.get(name)
        return None if endpoint is None else endpoint.serve

    def stop(self, run_async: RunAsync) -> None:
        """Let the apps shut down."""
        for endpoint in self._running.values():
            run_async(endpoint.stop())


class WebFunction:
    """One web function."""

    new_loop = staticmethod(new_loop)

    def __init__(self, raw: Callable[..., Any], settings: WebSettings) -> None:
        self._raw = raw
        self._endpoints = Endpoints({SERVE: settings})

    def __getstate__(self) -> dict[str, Any]:
        endpoints = self._endpoints.for_travel(lambda _: self._raw)
        return {**self.__dict__, "_endpoints": endpoints}

    def start(self, init: Any, run_async: RunAsync) -> None:
        """Build the app and let it start up."""
        self._endpoints.start(lambda _: self._raw, run_async)

    def method(self, name: str) -> Callable[..., Any]:
        """What runs an input."""
        serve = self._endpoints.get(name)
        assert serve is not None
        return serve

    def stop(self, run_async: RunAsync) -> None:
        """Let the app shut down."""
        self._endpoints.stop(run_async)


class WebClass(Service):
    """A class some of whose methods are endpoints, beside its other methods.

    Parameters
    ----------
    endpoints : mapping
        The settings of each web method by its name; for the others see :class:`Service`.
    """

    new_loop = staticmethod(new_loop)

    def __init__(
        self,
        kind: type,
        *,
        endpoints: Mapping[str, WebSettings],
        enter: Iterable[str] = (),
        exit: Iterable[str] = (),
        handle: Handle | None = None,
    ) -> None:
        super().__init__(kind, enter=enter, exit=exit, handle=handle)
        self._endpoints = Endpoints(endpoints)

    def __getstate__(self) -> dict[str, Any]:
        endpoints = self._endpoints.for_travel(lambda name: inspect.getattr_static(self.kind, name))
        return {**self.__dict__, "_endpoints": endpoints}

    def with_handle(self, handle: Handle | None) -> WebClass:
        """The same, not started, for another handle."""
        return WebClass(
            self.kind,
            endpoints=self._endpoints.settings,
            enter=self._enter,
            exit=self._exit,
            handle=handle,
        )

    def start(self, variant: Variant | None, run_async: RunAsync) -> None:
        """Run the ``@enter`` hooks, build the apps and let them start up."""
        super().start(variant, run_async)
        self._endpoints.start(super().method, run_async)

    def method(self, name: str) -> Callable[..., Any]:
        """What runs an input: of an endpoint its leases, else the method itself."""
        return self._endpoints.get(name) or super().method(name)

    def stop(self, run_async: RunAsync) -> None:
        """Let the apps shut down, then run the ``@exit`` hooks."""
        try:
            self._endpoints.stop(run_async)
        finally:
            super().stop(run_async)
