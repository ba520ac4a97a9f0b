"""App: a named collection of functions that are registered, run and deployed together."""

from __future__ import annotations

import asyncio
import re
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from modalnb.api import current, declaring, display
from modalnb.api.bases import Declared
from modalnb.api.decorators import marked_fields
from modalnb.api.entrypoint import LocalEntrypoint
from modalnb.api.function import Function
from modalnb.api.registering import Registration
from modalnb.api.running import RunningApp
from modalnb.api.schedules import Schedule
from modalnb.api.twin import twin
from modalnb.api.waiting import ask
from modalnb.exception import ExecutionError, InvalidError, NotFoundError
from modalnb.interface import Interface, MethodFacts
from modalnb.settings import DEFAULT_TIMEOUT, Retries, check_timeout
from modalnb.snapshot import AppSnapshot

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class App:
    """A collection of functions.

    Parameters
    ----------
    name : str, optional
        Letters, digits, ``-``, ``.`` and ``_``, at most 64. Needed to deploy.

    In a notebook or script the first call of a function runs the app by itself; ``with app.run()``
    says where it begins and ends.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App("my-app")
    >>> @app.function(max_containers=2)
    ... def square(x):
    ...     return x * x
    >>> square.local(3)
    9
    """

    def __init__(self, name: str | None = None, **ignored: Any) -> None:
        if name is not None:
            _check_name(name)
        self._name = name
        declaring.sort_out("App", ignored, declaring.APP_PARAMETERS, stacklevel=3)
        self.app_id = f"ap-{uuid.uuid4().hex[:12]}"
        #: Functions and classes by name.
        self._declared: dict[str, Function] = {}
        self._entrypoints: dict[str, LocalEntrypoint] = {}
        self._registration = Registration(self)
        self._is_in_run = False

    # -- what it holds ---------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name of the app."""
        return self._name

    @property
    def registered_functions(self) -> dict[str, Function]:
        """The functions by name."""
        return {name: f for name, f in self._declared.items() if isinstance(f, Function)}

    @property
    def registered_entrypoints(self) -> dict[str, LocalEntrypoint]:
        """The local entrypoints by name."""
        return dict(self._entrypoints)

    @property
    def is_running(self) -> bool:
        """Whether the app is registered with an engine that runs."""
        return self._registration.is_open

    def __repr__(self) -> str:
        return display.app_text(self)

    def _repr_html_(self) -> str:
        return display.app_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_app, (self._name, self.app_id)

    # -- decorators ------------------------------------------------------------------------

    def function(
        self,
        *misused: Any,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        cpu: float | None = None,
        retries: int | Retries | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        startup_timeout: float | None = None,
        schedule: Schedule | None = None,
        name: str | None = None,
        is_generator: bool | None = None,
        **others: Any,
    ) -> Callable[[Callable[..., Any]], Function]:
        """Register a function, to run in a pool of containers of its own.

        Parameters
        ----------
        min_containers : int, default 0
            Containers that are kept warm even without inputs.
        max_containers : int, optional
            The most containers; None is as many as the cluster hosts.
        buffer_containers : int, default 0
            Containers beyond the present need, while the function has inputs.
        scaledown_window : float, default 60
            Seconds for which a container may be idle before it leaves.
        cpu : float, optional
            Cores that a container is taken to use; measured if not given.
        retries : int or Retries, optional
            How often an input that failed or ran too long runs again; a number means a second
            between attempts. Lost containers do not count.
        timeout : float, default 300
            Seconds that an input may execute, each attempt anew.
        startup_timeout : float, optional
            Seconds until a container must be ready; as long as `timeout` if not given.
        schedule : Cron or Period, optional
            Checked, but nothing fires yet.
        name : str, optional
            The name in the app; the name of the function by default.

        Other parameters of Modal are accepted; those without effect here are named in a warning.

        Raises
        ------
        InvalidError
            If a value is wrong, or the decorator is used without parentheses or on a method.
        TypeError
            If a parameter is unknown, or the decorator is used on a class.

        Examples
        --------
        >>> app = App()
        >>> @app.function(min_containers=1, scaledown_window=300)
        ... def handle(x):
        ...     return x
        """
        declaration = declaring.declare(
            "function",
            misused,
            {
                "min_containers": min_containers,
                "max_containers": max_containers,
                "buffer_containers": buffer_containers,
                "scaledown_window": scaledown_window,
                "cpu": cpu,
                "retries": retries,
                "timeout": check_timeout("timeout", timeout),
                "startup_timeout": startup_timeout,
                "schedule": schedule,
                **others,
            },
        )

        def register(raw: Callable[..., Any]) -> Function:
            declaring.check_function(raw, schedule)
            generates = declaring.is_generator(raw, is_generator)
            if generates:
                declaring.check_generator(raw, retries)
            base = Declared(
                name or raw.__name__,
                app=self,
                raw=raw,
                settings=declaration.settings.with_options(marked_fields(raw)),
                interface=Interface(
                    module=raw.__module__, methods=(MethodFacts(is_generator=generates),)
                ),
            )
            function = Function(base)
            self._add(function, "Function")
            return function

        return register

    def _add(self, handle: Function, kind: str) -> None:
        name = handle._base.name
        declaring.check_name(name)
        if name in self._declared and not declaring.is_interactive():
            warnings.warn(
                f"{kind} '{name}' is defined twice in the app; the later one counts.",
                stacklevel=4,
            )
        with self._registration.lock:
            self._declared[name] = handle

    def _bases(self) -> list[Declared]:
        """What the app declares, for the plane."""
        bases = [handle._base for handle in list(self._declared.values())]
        return [base for base in bases if isinstance(base, Declared)]

    def local_entrypoint(
        self, *misused: Any, name: str | None = None
    ) -> Callable[[Callable[..., Any]], LocalEntrypoint]:
        """Make a function the one that ``modalnb run file.py`` runs here, with the app running.

        Its parameters become options of the command line.

        Examples
        --------
        >>> app = App()
        >>> @app.local_entrypoint()
        ... def main(count: int = 3):
        ...     print(count)
        >>> main()
        3
        """
        if misused:
            raise InvalidError("Write `@app.local_entrypoint()` with parentheses.")

        def register(raw: Callable[..., Any]) -> LocalEntrypoint:
            label = name or raw.__name__
            if label in self._entrypoints and not declaring.is_interactive():
                raise InvalidError(f"There is a local entrypoint '{label}' already. Rename one.")
            entrypoint = LocalEntrypoint(raw, label, self)
            self._entrypoints[label] = entrypoint
            return entrypoint

        return register

    def include(self, other: App) -> App:
        """Take in the functions of another app; returns this one.

        Raises
        ------
        InvalidError
            If both have a function of one name.
        """
        for name, handle in other._declared.items():
            known = self._declared.get(name)
            if known is not None and known._base.raw is not handle._base.raw:
                raise InvalidError(f"Both apps have a function '{name}'. Rename one.")
        for base in other._bases():
            if base.name not in self._declared:
                self._declared[base.name] = type(other._declared[base.name])(base.of(self))
        return self

    # -- running ---------------------------------------------------------------------------

    def run(self, *, detach: bool = False, **ignored: Any) -> RunningApp:
        """Run the app for the length of a ``with`` or ``async with`` block.

        Functions can be called inside of it; at its end pending inputs are cancelled and the
        containers leave. What the block started (an engine) ends with it.

        Raises
        ------
        InvalidError
            If the app is running by ``run`` already.

        Examples
        --------
        >>> with app.run():  # doctest: +SKIP
        ...     square.remote(3)
        """
        return RunningApp(self, detach=detach)

    @twin
    def deploy(self, *, name: str | None = None, **ignored: Any) -> App:
        """Register the app by name on the running engine, as the next version of what is there.

        Functions that the new version does not have disappear; the others keep their warm
        containers and go back to the settings of their decorators.

        Raises
        ------
        InvalidError
            If neither the app nor the call has a name.

        Examples
        --------
        >>> app.deploy()  # doctest: +SKIP
        """
        return self._deploy(name)

    @deploy.aio
    async def _deploy_aio(self, *, name: str | None = None, **ignored: Any) -> App:
        """The same for ``await``."""
        return await asyncio.to_thread(self._deploy, name)

    def _deploy(self, name: str | None) -> App:
        name = name or self._name
        if name is None:
            raise InvalidError('An app needs a name to be deployed: `app.deploy(name="my-app")`.')
        _check_name(name)
        stub = current.stub()
        self._registration.ready_all(stub)
        names = list(self._declared)
        answer = ask(stub, "deploy", app_id=self.app_id, name=name, functions=names)
        with self._registration.lock:
            self._name = name
            self.app_id = answer["app_id"]
        return self

    @staticmethod
    def lookup(name: str, *, create_if_missing: bool = False, **ignored: Any) -> App:
        """An app of that name, to define more functions in; Modal's way to get one.

        Without ``create_if_missing`` it must be running or deployed.
        """
        app = App(name)
        if not create_if_missing:
            known = ask(current.stub(), "snapshot")
            if name not in {facts["name"] for facts in known}:
                raise NotFoundError(f"There is no app '{name}'. Deploy it with `app.deploy()`.")
        return app

    def stop(self) -> None:
        """Stop the app: its inputs are cancelled and its containers leave."""
        stub = self._registration.forget()
        if stub is not None and not stub.is_closed:
            ask(stub, "stop", app_id=self.app_id)

    def snapshot(self) -> AppSnapshot:
        """All that is known of the app's pools at this instant.

        Raises
        ------
        ExecutionError
            If the app is not running.
        """
        stub = self._registration.stub
        if stub is None or stub.is_closed:
            raise ExecutionError("The app is not running; call one of its functions first.")
        found = ask(stub, "snapshot", app_id=self.app_id)
        if not found:
            raise ExecutionError("The app has been stopped.")
        return AppSnapshot.from_dict(found[0])


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidError(f"`name` of an app must be a str; got {name!r}.")
    if not _NAME.match(name):
        raise InvalidError(
            f"`name` of an app must be 1 to 64 letters, digits, '-', '.' or '_'; got {name!r}."
        )


def _rebuild_app(name: str | None, app_id: str) -> App:
    app = App(name)
    app.app_id = app_id
    return app
