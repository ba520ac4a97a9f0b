"""Finds what ``modalnb run`` shall run: imports the user's module and picks from its apps."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

import click

from modalnb.api.app import App
from modalnb.api.cls import Cls
from modalnb.api.entrypoint import LocalEntrypoint
from modalnb.api.function import Function
from modalnb.cli.methods import MethodOfClass, methods_of
from modalnb.cli.tracebacks import show_error

Runnable = LocalEntrypoint | Function | MethodOfClass


class NothingToRunError(click.ClickException):
    """The reference leads to nothing that can run; the text is one sentence."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A local entrypoint, a function or a method, with the app that must run for it."""

    runnable: Runnable
    app: App
    raw: Callable[..., Any]


def find_target(reference: str, *, is_module: bool) -> Target:
    """What ``FILE.py[::NAME]`` or ``package.module[::NAME]`` stands for.

    Raises
    ------
    NothingToRunError
        If the source cannot be imported or has nothing of that name.
    click.UsageError
        If the reference fits several things.
    """
    source, _, name = reference.partition("::")
    _, apps = load_apps(source, is_module=is_module)
    runnable = _pick(apps, source, name)
    raw = runnable._raw if isinstance(runnable, Function) else runnable.raw
    assert raw is not None
    return Target(runnable, runnable.app, raw)


def load_apps(source: str, *, is_module: bool) -> tuple[ModuleType, dict[str, App]]:
    """The module of a file, or of a name, and its apps by variable.

    Raises
    ------
    NothingToRunError
        If it cannot be imported.
    """
    module = _import_module(source) if is_module else _import_file(source)
    return module, _apps_of(module)


# -- importing -----------------------------------------------------------------------------


def _import_file(path: str) -> ModuleType:
    file = os.path.abspath(path)
    if not os.path.isfile(file):
        advice = "" if path.endswith(".py") else f" For a module write `-m {path}`."
        raise NothingToRunError(f"There is no file {path}.{advice}")
    if not file.endswith(".py"):
        raise NothingToRunError(f"{path} is not a Python file: its name must end in .py.")
    sys.path.insert(0, os.path.dirname(file))
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        _fail_import(path, error)
    return module


def _module_name(file: str) -> str:
    """The name of the file, unless that would hide a module that others import."""
    stem = os.path.splitext(os.path.basename(file))[0]
    is_taken = stem in sys.modules or stem in sys.stdlib_module_names
    return f"{stem}_file" if is_taken else stem


def _import_module(name: str) -> ModuleType:
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise NothingToRunError(
            f"`-m` takes the name of a module such as pkg.mod; got {name}. "
            "For a file leave out `-m`."
        )
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise NothingToRunError(f"There is no module {error.name}.") from None
        _fail_import(name, error)
    except Exception as error:
        _fail_import(name, error)


def _fail_import(source: str, error: Exception) -> NoReturn:
    show_error(error)
    text = f"{source} cannot be imported; see the {type(error).__name__} above."
    if isinstance(error, ModuleNotFoundError) and error.name == "modal":
        text += " Write `import modalnb as modal`."
    raise NothingToRunError(text)


# -- picking -------------------------------------------------------------------------------


def _pick(apps: dict[str, App], source: str, name: str) -> Runnable:
    if not apps:
        raise NothingToRunError(
            f"There is no app in {source}. Make one with `app = modalnb.App()` and put "
            "`@app.function()` or `@app.local_entrypoint()` on its functions."
        )
    every: dict[Runnable, tuple[str, str]] = {}
    for variable, app in apps.items():
        for label, runnable in _runnables_of(app).items():
            every.setdefault(runnable, (f"{variable}.{label}", label))
    if name:
        found = {r: labels for r, labels in every.items() if _is_named(r, name, apps)}
    else:
        found = {r: labels for r, labels in every.items() if isinstance(r, LocalEntrypoint)}
        found = found or every
    if len(found) == 1:
        return next(iter(found))
    _fail_pick(source, name, found, every)


def _apps_of(module: ModuleType) -> dict[str, App]:
    """The apps of a module by variable, also those known only by a function that was imported."""
    values = vars(module)
    apps = {variable: value for variable, value in values.items() if isinstance(value, App)}
    for value in values.values():
        app = value.app if isinstance(value, LocalEntrypoint | Function) else None
        app = value._base.app if isinstance(value, Cls) else app
        if app is not None and app not in apps.values():
            apps[app.name or "app"] = app
    return apps


def _runnables_of(app: App) -> dict[str, Runnable]:
    methods = {method.label: method for method in methods_of(app)}
    return {**app.registered_functions, **methods, **app.registered_entrypoints}


def _is_named(runnable: Runnable, name: str, apps: dict[str, App]) -> bool:
    variable, _, label = name.partition(".")
    if variable in apps:
        return _runnables_of(apps[variable]).get(label) == runnable
    return any(_runnables_of(app).get(name) == runnable for app in apps.values())


def _fail_pick(
    source: str,
    name: str,
    found: dict[Runnable, tuple[str, str]],
    every: dict[Runnable, tuple[str, str]],
) -> NoReturn:
    if not every:
        raise NothingToRunError(f"The app in {source} has no functions and no local entrypoints.")
    known = _listed(source, found or every)
    if not found:
        raise NothingToRunError(
            f"There is no local entrypoint or function '{name}' in {source}; there is {known}."
        )
    are_entrypoints = all(isinstance(runnable, LocalEntrypoint) for runnable in found)
    what = "local entrypoints" if are_entrypoints else "functions"
    raise click.UsageError(f"{source} has several {what}; name one: {known}.")


def _listed(source: str, runnables: dict[Runnable, tuple[str, str]]) -> str:
    """The references in words, with the variable of the app only where it is needed."""
    short = [label for _, label in runnables.values()]
    is_clear = len(set(short)) == len(short)
    return ", ".join(
        f"{source}::{label if is_clear else full}" for full, label in runnables.values()
    )
