"""``modalnb serve``: runs the web functions of a file here, and again whenever it is saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from modalnb.api import current, web_url
from modalnb.api.app import App
from modalnb.api.waiting import ask
from modalnb.cli.run import exit_status
from modalnb.cli.target import NothingToRunError, load_apps
from modalnb.cli.tracebacks import show_error
from modalnb.configuration import config
from modalnb.payload.code import is_installed

#: How often the end of the time is looked for.
LOOK_MS = 200

_HELP = """Run the web functions of a file in the foreground, until Ctrl-C.

What is saved takes effect with the next request, in containers that are warm. A file that cannot
be imported is shown, and the version before it goes on.

\b
Examples:
  modalnb serve shop.py
  modalnb serve shop.py --port 8000
  modalnb serve -m package.shop
"""


@click.command(help=_HELP)
@click.option("-m", "is_module", is_flag=True, help="The source is a module, such as pkg.mod.")
@click.option("--host", help="Listen here; by default on this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), help="By default any that is free.")
@click.option("--domain", help="Domain under which functions have names of their own.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="End by itself.")
@click.option("--no-reload", is_flag=True, help="Do not watch the folder of the file.")
@click.argument("source", metavar="FILE.py")
def serve(
    source: str,
    *,
    is_module: bool,
    host: str | None,
    port: int | None,
    domain: str | None,
    timeout: float | None,
    no_reload: bool,
) -> None:
    """Serve until Ctrl-C, a signal or the timeout ends it."""
    for name, value in (("web_host", host), ("web_port", port), ("web_domain", domain)):
        if value is not None:
            setattr(config, name, value)
    signal.signal(signal.SIGTERM, _interrupt)
    with exit_status(interrupted=0):
        served = Served(source, is_module=is_module)
        served.load()
        try:
            for _ in _changes(served, timeout, is_watching=not no_reload):
                served.reload()
        finally:
            served.stop()


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


class Served:
    """The apps of one source, as they are served now."""

    def __init__(self, source: str, *, is_module: bool) -> None:
        self._source = source
        self._is_module = is_module
        self._apps: dict[str, App] = {}
        self._read_at = 0.0
        self.folder = os.getcwd() if is_module else os.path.dirname(os.path.abspath(source))

    def load(self) -> None:
        """Import the source and run its apps.

        Raises
        ------
        NothingToRunError
            If that cannot be done.
        """
        self._read_at = time.time()
        module, apps = load_apps(self._source, is_module=self._is_module)
        if not any(base.interface.has_web for app in apps.values() for base in app._bases()):
            raise NothingToRunError(
                f"There is no web function in {self._source}. Put `@modal.asgi_app()` or one of "
                "its siblings under `@app.function()`."
            )
        if module.__file__ is not None:
            self.folder = os.path.dirname(os.path.abspath(module.__file__))
        for variable, app in apps.items():
            self._replace(variable, app)
        for variable in self._apps.keys() - apps.keys():
            self._apps.pop(variable).stop()

    def _replace(self, variable: str, app: App) -> None:
        """Run a version of an app in the place of the one before, with the same containers."""
        known = self._apps.get(variable)
        if known is not None:
            app.app_id = known.app_id
        stub = current.stub()
        app._registration.ready_all(stub)
        names = [base.name for base in app._bases()]
        ask(stub, "retain", app_id=app.app_id, functions=names)
        self._apps[variable] = app
        for name, url in web_url.urls_of(app):
            click.echo(f"{name}  {url}")

    def reload(self) -> None:
        """Do it again with what the files say now; after an error the old version stays."""
        started = time.perf_counter()
        _forget_modules(self.folder)
        try:
            self.load()
        except NothingToRunError as error:
            click.echo(f"{error.message} The version before goes on.", err=True)
        except Exception as error:
            show_error(error)
            click.echo("The version before goes on.", err=True)
        else:
            click.echo(f"Reloaded in {time.perf_counter() - started:.1f} s.", err=True)

    def is_outdated(self) -> bool:
        """Whether a file was saved since they were read."""
        files = Path(self.folder).rglob("*.py")
        return any(file.stat().st_mtime > self._read_at for file in files)

    def stop(self) -> None:
        """Stop the apps, and what was started for them."""
        for app in self._apps.values():
            app.stop()
        current.close()


def _forget_modules(folder: str) -> None:
    """Let modules of this folder be imported anew; packages that are installed there stay."""
    inside = os.path.join(folder, "")
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and os.path.abspath(file).startswith(inside) and not is_installed(module):
            del sys.modules[name]


def _changes(served: Served, timeout: float | None, *, is_watching: bool) -> Iterator[object]:
    """One element for each change to Python files below the folder, until the time is over."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    if not is_watching:
        threading.Event().wait(timeout)
        return
    from watchfiles import PythonFilter, watch

    python, is_first = PythonFilter(), True
    for changes in watch(
        served.folder, watch_filter=python, rust_timeout=LOOK_MS, yield_on_timeout=True
    ):
        if time.monotonic() > deadline:
            return
        # What was saved before the watch began is not among the changes.
        if changes or (is_first and served.is_outdated()):
            yield changes
        is_first = False
