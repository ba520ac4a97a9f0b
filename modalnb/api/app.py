"""App: a named collection of functions and classes that are run and deployed together."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

from modalnb.api import current, declaring, display, views, watching
from modalnb.api.declarations import Declarations
from modalnb.api.registering import Registration
from modalnb.api.running import RunningApp
from modalnb.api.twin import static_twin, twin
from modalnb.api.waiting import ask
from modalnb.exception import ExecutionError, InvalidError, NotFoundError
from modalnb.snapshot import AppSnapshot

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class App(Declarations):
    """A collection of functions and classes.

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
        super().__init__()
        self._name = name
        declaring.sort_out("App", ignored, declaring.APP_PARAMETERS, stacklevel=3)
        self.app_id = f"ap-{uuid.uuid4().hex[:12]}"
        self._registration = Registration(self)
        self._is_in_run = False

    # -- what it holds ---------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name of the app."""
        return self._name

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

    @static_twin
    def lookup(name: str, *, create_if_missing: bool = False, **ignored: Any) -> App:
        """An app of that name, to define more functions in; Modal's way to get one.

        Without ``create_if_missing`` it must be running or deployed.
        """
        return _looked_up(name, create_if_missing)

    @lookup.aio
    async def _lookup_aio(name: str, *, create_if_missing: bool = False, **ignored: Any) -> App:
        """The same for ``await``."""
        return await asyncio.to_thread(_looked_up, name, create_if_missing)

    @twin
    def stop(self) -> None:
        """Stop the app: its inputs are cancelled and its containers leave."""
        self._stop()

    @stop.aio
    async def _stop_aio(self) -> None:
        """The same for ``await``."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        watching.tell_stop(self.app_id)
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

    def dashboard(self, *, rate: float | None = None) -> Any:
        """A live view of all pools of the app, with sliders that steer them; runs the app.

        Parameters
        ----------
        rate : float, optional
            What a container costs in an hour, to see what the time of containers comes to.

        Examples
        --------
        >>> app.dashboard()  # doctest: +SKIP
        """
        return views.open_view("open_dashboard", self, rate=rate)


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidError(f"`name` of an app must be a str; got {name!r}.")
    if not _NAME.match(name):
        raise InvalidError(
            f"`name` of an app must be 1 to 64 letters, digits, '-', '.' or '_'; got {name!r}."
        )


def _looked_up(name: str, create_if_missing: bool) -> App:
    app = App(name)
    if not create_if_missing:
        known = ask(current.stub(), "snapshot")
        if name not in {facts["name"] for facts in known}:
            raise NotFoundError(f"There is no app '{name}'. Deploy it with `app.deploy()`.")
    return app


def _rebuild_app(name: str | None, app_id: str) -> App:
    app = App(name)
    app.app_id = app_id
    return app
