"""Opens dashboards: one for each app and one for each panel, however many cells show it."""

from __future__ import annotations

import weakref

from modalnb.api.app import App
from modalnb.api.scaling import Scalable
from modalnb.api.watching import Watch, watch_app, watch_pool
from modalnb.notebook.dashboard import Dashboard

#: By app and, for panels, pool; widgets and variables keep them alive.
_boards: weakref.WeakValueDictionary[tuple[str, str | None], Dashboard] = (
    weakref.WeakValueDictionary()
)


def open_dashboard(app: App, *, rate: float | None = None) -> Dashboard:
    """The dashboard of an app; the same one at each call."""
    return _board(watch_app(app), None, rate)


def open_panel(owner: Scalable, *, rate: float | None = None) -> Dashboard:
    """The dashboard of one pool; the same one at each call."""
    watch, pool_id = watch_pool(owner)
    return _board(watch, pool_id, rate)


def _board(watch: Watch, only: str | None, rate: float | None) -> Dashboard:
    key = (watch.app_id, only)
    board = _boards.get(key)
    if board is None or board.is_closed:
        board = _boards[key] = Dashboard(watch, only=only)
    if rate is not None:
        board.set_rate(rate)
    board.look_at(watch)
    return board
