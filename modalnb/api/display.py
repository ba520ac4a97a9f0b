"""How apps, functions and calls look: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import datetime
import html
from typing import TYPE_CHECKING, Any

from modalnb.api import current
from modalnb.api.bases import Reference
from modalnb.exception import Error
from modalnb.snapshot import AppSnapshot, PoolSnapshot

if TYPE_CHECKING:
    from modalnb.api.app import App
    from modalnb.api.call import FunctionCall
    from modalnb.api.cls import Cls
    from modalnb.api.scaling import Scalable

_STYLE = "border-collapse:collapse;font-size:0.9em;font-variant-numeric:tabular-nums;color:inherit"
_CELL = "padding:2px 10px 2px 0;text-align:left;border:none"


def handle_text(handle: Scalable) -> str:
    """A function, method or instance in one line, with its pool if an engine is running."""
    pool = _pool_of(handle)
    return f"{_head(handle)}: {pool_words(pool)}>" if pool else f"{_head(handle)}>"


def reference_text(handle: Any) -> str:
    """How a handle from ``from_name`` was made; empty for others."""
    base = handle._base
    if not isinstance(base, Reference) or not base.app_name:
        return ""
    variant = handle._name.removeprefix(base.name)
    return f"{type(handle).__name__}.from_name({base.app_name!r}, {base.name!r}){variant}"


def class_text(handle: Cls) -> str:
    """A class in one line."""
    interface = handle._base.interface
    if interface is None:
        return f"{_head(handle)}>"
    methods = ", ".join(method.name for method in interface.methods) or "no methods"
    parameters = ", ".join(f"{p.name}: {p.kind}" for p in interface.parameters)
    return f"{_head(handle)}({parameters}): {methods}>"


def _head(handle: Scalable | Cls) -> str:
    app = handle._base.app
    of = f" of app {app.name}" if app is not None and app.name else ""
    return f"<{type(handle).__name__} {handle._name}{of}"


def pool_words(pool: PoolSnapshot) -> str:
    """A pool in words."""
    states = ", ".join(
        f"{count} {state}"
        for state in ("booting", "idle", "busy", "draining")
        if (count := pool.count(state))
    )
    containers = states or "no containers"
    return f"{containers}; {pool.pending} pending, {pool.running} running, {pool.done} done"


def _pool_of(handle: Scalable) -> PoolSnapshot | None:
    """The pool of a handle as far as it is known without starting anything."""
    session, app = current.session(), handle._base.app
    if session is None or not session.is_open or (app is not None and not app.is_running):
        return None
    try:
        return type(handle).snapshot(handle)
    except Error:
        return None


def table(rows: list[tuple[str, ...]], caption: str = "") -> str:
    """An HTML table without any style of its own but spacing; the first row is the head."""
    head, *body = [[html.escape(str(cell)) for cell in row] for row in rows]
    cells = "".join(f'<th style="{_CELL}">{cell}</th>' for cell in head)
    lines = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in body
    )
    title = f"<div><b>{html.escape(caption)}</b></div>" if caption else ""
    return f'{title}<table style="{_STYLE}"><tr>{cells}</tr>{lines}</table>'


def settings_words(pool: PoolSnapshot) -> str:
    """The settings in force, with a star where they are not the declared ones."""
    settings, static = pool.settings, pool.static
    words = []
    for name, short in (
        ("min_containers", "min"),
        ("max_containers", "max"),
        ("buffer_containers", "buffer"),
        ("scaledown_window", "window"),
    ):
        value, declared = getattr(settings, name), getattr(static, name)
        shown = "∞" if value is None else f"{value:g}"
        words.append(f"{short} {shown}{'s' * (short == 'window')}{'*' * (value != declared)}")
    return ", ".join(words)


_POOL_HEAD = ("function", "containers", "pending", "running", "done", "settings")


def _pool_row(pool: PoolSnapshot) -> tuple[str, ...]:
    return (
        pool.function,
        pool_words(pool).partition(";")[0],
        f"{pool.pending:,}",
        f"{pool.running:,}",
        f"{pool.done:,}",
        settings_words(pool),
    )


def handle_html(handle: Scalable) -> str:
    """A function, method or instance as a table."""
    pool = _pool_of(handle)
    if pool is None:
        return f"<code>{html.escape(repr(handle))}</code>"
    why = f"<div>{html.escape(pool.reason)}</div>" if pool.reason else ""
    return table([_POOL_HEAD, _pool_row(pool)], f"{type(handle).__name__} {handle._name}") + why


def app_text(app: App) -> str:
    """An app in one line."""
    names = ", ".join([*app.registered_functions, *app.registered_classes]) or "no functions"
    return (
        f"<App {app.name or app.app_id}: {'running' if app.is_running else 'not running'}; {names}>"
    )


def app_html(app: App) -> str:
    """An app as a table of its functions."""
    snapshot: AppSnapshot | None = None
    if app.is_running:
        try:
            snapshot = app.snapshot()
        except Error:
            snapshot = None
    if snapshot is None:
        return f"<code>{html.escape(repr(app))}</code>"
    rows = [_POOL_HEAD, *(_pool_row(pool) for pool in snapshot.pools)]
    return table(rows, f"App {app.name or app.app_id}")


def call_html(call: FunctionCall) -> str:
    """A call as a table."""
    session = current.session()
    if session is None or not session.is_open:
        return f"<code>{html.escape(repr(call))}</code>"
    try:
        facts = call.status()
    except Error as error:
        return f"<code>{html.escape(repr(call))}</code> {html.escape(str(error))}"
    head = ("function", "inputs", "running", "done", "failed")
    return table([head, tuple(str(facts[name]) for name in head)], f"Call {call.object_id}")


class Explanation:
    """Decisions of an autoscaler with their reasons; prints as lines, shows as a table."""

    def __init__(self, function: str, decisions: list[dict[str, Any]]) -> None:
        self.function = function
        self.decisions = decisions

    def __len__(self) -> int:
        return len(self.decisions)

    def __iter__(self) -> Any:
        return iter(self.decisions)

    def __getitem__(self, index: Any) -> Any:
        return self.decisions[index]

    def _lines(self) -> list[tuple[str, str]]:
        return [
            (f"{datetime.datetime.fromtimestamp(d['time']):%H:%M:%S.%f}"[:-4], d["reason"])
            for d in self.decisions
        ]

    def __repr__(self) -> str:
        if not self.decisions:
            return f"The autoscaler of {self.function} has decided nothing yet."
        return "\n".join(f"{at}  {reason}" for at, reason in self._lines())

    def _repr_html_(self) -> str:
        if not self.decisions:
            return html.escape(repr(self))
        return table([("time", "decision"), *self._lines()], f"Autoscaler of {self.function}")
