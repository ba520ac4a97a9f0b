"""Turns what the controls ask for into changes of settings, and tells in words what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from modalnb.exception import Error
from modalnb.notebook import words
from modalnb.notebook.steering import Undo, Wishes, pushed, update_values
from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import PoolSnapshot

#: From one change of settings to the next, so that a dragged slider makes few of them.
STEER_SECONDS = 0.15

#: Changes the settings of a pool, as ``update_autoscaler`` does.
Update = Callable[[str, Mapping[str, Any]], Any]


class Helm:
    """Carries out wishes, the first at once and those that follow closely together."""

    def __init__(self, update: Update) -> None:
        self._update = update
        self._undo = Undo()
        self._turned_at = 0.0
        #: What was asked for; put from any thread, while all else is for one thread only.
        self.wishes = Wishes()

    @property
    def wait(self) -> float:
        """Seconds until the next change may be made."""
        return max(0.0, self._turned_at + STEER_SECONDS - time.monotonic())

    def turn(self, pool: PoolSnapshot) -> str:
        """Grant all wishes in one change; what came of it."""
        self._turned_at = time.monotonic()
        target = pool.settings
        try:
            for name, value in self.wishes.take().items():
                target = pushed(target, name, value)
        except Error as error:
            return _refused(error)
        return self._change(pool, target)

    def revert(self, pool: PoolSnapshot) -> str:
        """Back to what was declared; what came of it."""
        return self._change(pool, pool.static)

    def undo(self, pool: PoolSnapshot) -> str:
        """Back to what was in force before the last change made here; what came of it."""
        before = self._undo.take(pool.pool_id)
        if before is None:
            return "there is nothing to undo"
        return self._change(pool, before, is_undo=True)

    def _change(
        self, pool: PoolSnapshot, target: AutoscalerSettings, *, is_undo: bool = False
    ) -> str:
        values = update_values(pool.settings, target)
        if not values:
            return "nothing to change"
        try:
            self._update(pool.pool_id, values)
        except Error as error:
            return _refused(error)
        if not is_undo:
            self._undo.note(pool.pool_id, pool.settings)
        changes = (
            f"{words.PARAMETERS[name].partition(',')[0]} "
            f"{words.parameter(name, getattr(pool.settings, name))} → "
            f"{words.parameter(name, getattr(target, name))}"
            for name in values
        )
        return f"applied {_clock()}: {', '.join(changes)}"


def _refused(error: Error) -> str:
    return f"refused {_clock()}: {error}"


def _clock() -> str:
    return time.strftime("%H:%M:%S")
