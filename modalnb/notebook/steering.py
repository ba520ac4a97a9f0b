"""What the controls ask for: wishes, of which the last counts, and limits that push each other."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Any

from modalnb.notebook.words import PARAMETERS
from modalnb.settings import AutoscalerSettings

#: Changes that can be undone.
MAX_UNDO = 50


def pushed(settings: AutoscalerSettings, name: str, value: Any) -> AutoscalerSettings:
    """The settings with one of them changed; min and max push each other instead of failing."""
    changes = {name: value}
    maximum = settings.max_containers
    if name == "min_containers" and maximum is not None and value > maximum:
        changes["max_containers"] = value
    if name == "max_containers" and value is not None and value < settings.min_containers:
        changes["min_containers"] = value
    return replace(settings, **changes)


def update_values(old: AutoscalerSettings, new: AutoscalerSettings) -> dict[str, Any]:
    """What to give ``update_autoscaler`` to get from one to the other; 0 stands for no limit."""
    before, after = old.to_dict(), new.to_dict()
    return {
        name: 0 if after[name] is None else after[name]
        for name in PARAMETERS
        if after[name] != before[name]
    }


class Wishes:
    """What was asked for and is not carried out yet; put from any thread, taken by one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> None:
        """Ask for a value; an older wish for the same is forgotten."""
        with self._lock:
            self._values.pop(name, None)
            self._values[name] = value

    def take(self) -> dict[str, Any]:
        """All wishes, in the order in which they were last asked for."""
        with self._lock:
            values, self._values = self._values, {}
        return values

    def __bool__(self) -> bool:
        return bool(self._values)


class Undo:
    """The settings before each change made here."""

    def __init__(self) -> None:
        self._before: deque[tuple[str, AutoscalerSettings]] = deque(maxlen=MAX_UNDO)

    def note(self, pool_id: str, settings: AutoscalerSettings) -> None:
        """These settings are about to be changed."""
        self._before.append((pool_id, settings))

    def take(self, pool_id: str) -> AutoscalerSettings | None:
        """The settings before the last change of that pool."""
        for entry in reversed(self._before):
            if entry[0] == pool_id:
                self._before.remove(entry)
                return entry[1]
        return None
