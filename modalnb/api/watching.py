"""What live views need of the plane: one question a tick, and the way back in of their sliders."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modalnb.api import current, map_run
from modalnb.api.waiting import answer_of
from modalnb.exception import ExecutionError
from modalnb.messages import names_of_pool
from modalnb.settings import checked_override
from modalnb.snapshot import AppSnapshot, Gauge, Mark, PoolSnapshot

if TYPE_CHECKING:
    from modalnb.api.app import App
    from modalnb.api.scaling import Scalable
    from modalnb.plane.stub import Stub

#: A view would rather miss a tick than wait longer than this.
ANSWER_SECONDS = 5.0

#: (seq, container id, pool id, call id or None, stream, text)
Printed = tuple[int, str, str, str | None, str, str]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look gave: the app as it is, and what has happened since the look before."""

    snapshot: AppSnapshot
    marks: tuple[Mark, ...]


class Watch:
    """Looks at one app again and again; starts nothing, and keeps nothing alive.

    Raises
    ------
    ExecutionError
        From every method, when the engine has ended or the app has been stopped.
    """

    def __init__(self, stub: Stub, app_id: str) -> None:
        self._stub = stub
        self.app_id = app_id
        self._seen = 0
        #: Called before the app is stopped, for a last look.
        self.before_stop: Callable[[], None] = lambda: None
        _watches.setdefault(app_id, weakref.WeakSet()).add(self)

    @property
    def is_open(self) -> bool:
        """Whether the engine is there."""
        return not self._stub.is_closed

    def _ask(self, verb: str, **arguments: Any) -> Any:
        return answer_of(self._stub.ask(verb, **arguments), ANSWER_SECONDS)

    def look(self) -> Look:
        """The app at this instant."""
        facts = self._ask("look", app_id=self.app_id, since=self._seen)
        if facts is None:
            raise ExecutionError("The app has been stopped.")
        snapshot = AppSnapshot.from_dict(facts["snapshot"])
        marks = tuple(Mark(**mark) for mark in facts["marks"])
        if marks:
            self._seen = marks[-1].seq
        pools = tuple(_with_maps(pool) for pool in snapshot.pools)
        return Look(replace(snapshot, pools=pools), marks)

    def update(self, pool_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Do what ``update_autoscaler`` of the pool's function does; returns what is in force."""
        checked_override(values)
        answer: dict[str, Any] = self._ask("update", pool_id=pool_id, values=dict(values))
        return answer

    def tail(self, count: int = 100, **which: Any) -> list[Printed]:
        """The last lines that a container, a pool or a call printed, oldest first.

        `which` is one of ``container_id``, ``pool_id`` and ``call_id``; ``since`` is the number
        of the last line that is known already.
        """
        return [tuple(line) for line in self._ask("tail", count=count, **which)]


#: The watches of each app.
_watches: dict[str, weakref.WeakSet[Watch]] = {}


def tell_stop(app_id: str) -> None:
    """The app is about to be stopped by this process."""
    for watch in list(_watches.pop(app_id, ())):
        watch.before_stop()


def _with_maps(pool: PoolSnapshot) -> PoolSnapshot:
    """The pool with the limit that only its callers know: how wide a map of theirs is."""
    gauge = Gauge(
        name="inputs of one map",
        current=map_run.widest(pool.pool_id),
        maximum=map_run.WINDOW,
    )
    return replace(pool, gauges=(*pool.gauges, gauge))


def watch_app(app: App) -> Watch:
    """Watch an app; it runs from now on, as with its first call."""
    stub = current.stub()
    app._registration.ready_all(stub)
    return Watch(stub, app.app_id)


def watch_pool(owner: Scalable) -> tuple[Watch, str]:
    """Watch the app that a pool belongs to; returns the id of the pool too."""
    stub = current.stub()
    pool_id = owner._pool_id(stub)
    return Watch(stub, names_of_pool(pool_id)[0]), pool_id
