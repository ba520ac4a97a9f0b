"""Remembers what happened to pools that a person should see, for views to ask "what since n?"."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import Mark, MarkKind

MAX_MARKS = 1_000


class Chronicle:
    """The last marks of all pools; it looks at each event before the ledger takes it in."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._seq = itertools.count(1)

    def see(self, event: ev.Event, now: float) -> None:
        """Note the event if it is one that a person should see."""
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event, now)

    def since(self, seq: int, pool_ids: Collection[str]) -> list[Mark]:
        """The marks of these pools after the one of number `seq`, oldest first."""
        newer = itertools.takewhile(lambda mark: mark.seq > seq, reversed(self._marks))
        return [mark for mark in newer if mark.pool_id in pool_ids][::-1]

    def _add(self, kind: MarkKind, now: float, pool_id: str, name: str, text: str) -> None:
        mark = Mark(
            seq=next(self._seq), at=now, kind=kind, pool_id=pool_id, container_id=name, text=text
        )
        self._marks.append(mark)

    def _see_ready(self, event: ev.ContainerReady, now: float) -> None:
        known = self._ledger.containers.get(event.container_id)
        seconds = now - known.started_at if known is not None else 0.0
        text = f"cold start of {seconds:.2f} s"
        self._add("ready", now, event.pool_id, event.container_id, text)

    def _see_lost(self, event: ev.ContainerLost, now: float) -> None:
        known = self._ledger.containers.get(event.container_id)
        if known is not None and not known.draining:
            self._add("died", now, known.pool.id, event.container_id, event.story)

    def _see_defined(self, event: ev.PoolDefined, now: float) -> None:
        known = self._ledger.pools.get(event.pool_id)
        if known is not None:
            text = changes(known.settings.autoscaler, event.settings.autoscaler)
            if text:
                self._add("settings", now, event.pool_id, "", text)


def changes(old: AutoscalerSettings, new: AutoscalerSettings) -> str:
    """What is other in `new`, such as ``max_containers 4 → 8``."""
    before, after = old.to_dict(), new.to_dict()
    return ", ".join(
        f"{name} {_shown(before[name])} → {_shown(after[name])}"
        for name in before
        if before[name] != after[name]
    )


def _shown(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:g}"


_NOTES: dict[type[ev.Event], Callable[[Chronicle, Any, float], None]] = {
    ev.ContainerReady: Chronicle._see_ready,
    ev.ContainerLost: Chronicle._see_lost,
    ev.PoolDefined: Chronicle._see_defined,
}
