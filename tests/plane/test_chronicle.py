"""What views hear of the past of a pool: cold starts, deaths, settings; numbered and bounded."""

from __future__ import annotations

from typing import Any

from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.plane import chronicle
from modalnb.plane.chronicle import Chronicle
from modalnb.settings import AutoscalerSettings, FunctionSettings


class Plane:
    """A ledger with a chronicle that sees each event first, as on the scheduler."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.chronicle = Chronicle(self.ledger)
        self.now = 0.0

    def handle(self, event: ev.Event) -> None:
        self.chronicle.see(event, self.now)
        self.ledger.handle(event, self.now)

    def define(self, pool_id: str = "a/f", **autoscaler: Any) -> None:
        settings = FunctionSettings(autoscaler=AutoscalerSettings(**autoscaler))
        self.handle(ev.PoolDefined(pool_id=pool_id, settings=settings))

    def start(self, name: str, pool_id: str = "a/f", seconds: float = 0.5) -> None:
        self.handle(ev.ContainerExpected(container_id=name, pool_id=pool_id))
        self.now += seconds
        self.handle(ev.ContainerReady(container_id=name, pool_id=pool_id))

    def texts(self, since: int = 0, *pool_ids: str) -> list[tuple[str, str, str]]:
        marks = self.chronicle.since(since, pool_ids or ("a/f",))
        return [(mark.kind, mark.container_id, mark.text) for mark in marks]


def test_cold_start_is_marked_with_its_seconds() -> None:
    plane = Plane()
    plane.define()
    plane.start("one")
    assert plane.texts() == [("ready", "one", "cold start of 0.50 s")]


def test_death_is_marked_with_its_story() -> None:
    plane = Plane()
    plane.define()
    plane.start("one")
    plane.handle(ev.ContainerLost(container_id="one", story="killed by signal 9"))
    assert plane.texts()[1:] == [("died", "one", "killed by signal 9")]


def test_container_that_was_asked_to_leave_did_not_die() -> None:
    plane = Plane()
    plane.define()
    plane.start("one")
    plane.handle(ev.DrainAsked(container_ids=("one",)))
    plane.handle(ev.ContainerLost(container_id="one", story="it was retired"))
    assert [kind for kind, _, _ in plane.texts()] == ["ready"]


def test_container_that_nobody_knew_is_no_death() -> None:
    plane = Plane()
    plane.handle(ev.ContainerLost(container_id="stranger", story="gone"))
    assert plane.texts() == []


def test_changed_settings_are_marked_and_the_same_ones_are_not() -> None:
    plane = Plane()
    plane.define(max_containers=4)
    plane.define(max_containers=4)
    plane.define(max_containers=None, scaledown_window=2.5)
    text = "max_containers 4 → unlimited, scaledown_window 60 → 2.5"
    assert plane.texts() == [("settings", "", text)]


def test_since_gives_only_what_is_new_and_of_these_pools() -> None:
    plane = Plane()
    plane.define("a/f")
    plane.define("a/g")
    plane.start("one", "a/f")
    plane.start("two", "a/g")
    plane.start("three", "a/f")
    seen = plane.chronicle.since(0, ("a/f",))[0].seq
    assert [name for _, name, _ in plane.texts(seen)] == ["three"]
    assert [name for _, name, _ in plane.texts(0, "a/g", "a/f")] == ["one", "two", "three"]


def test_chronicle_is_bounded() -> None:
    plane = Plane()
    plane.define()
    for n in range(chronicle.MAX_MARKS + 10):
        plane.define(min_containers=n + 1)
    marks = plane.chronicle.since(0, ("a/f",))
    assert len(marks) == chronicle.MAX_MARKS
    assert [mark.seq for mark in marks] == list(range(11, chronicle.MAX_MARKS + 11))
