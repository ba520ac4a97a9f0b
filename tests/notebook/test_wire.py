"""The page gets all once and then only news; what it holds is what the kernel holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modalnb.notebook import render
from modalnb.notebook.history import History, Ring
from modalnb.notebook.wire import Wire
from modalnb.snapshot import DeviceStats
from tests.notebook.samples import POOL_ID, app, containers, mark, pool


class Reader:
    """Does what store.js does: the browser tests compare that with this."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[str, Any]] = {}
        self.rings: dict[str, Ring[Any]] = {}

    def read(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message))
        if message["kind"] == "state":
            self.lines.clear()
            self.rings.clear()
        named = set()
        for line in (*message["pools"], *message["devices"]):
            named.add(line["id"])
            self._take(line, message["now"])
        for name in self.rings.keys() - named:
            self._hold(name, message["now"])

    def _take(self, line: dict[str, Any], now: float) -> None:
        name, marks = line.pop("id"), line.pop("marks", [])
        if "row" in line and line["row"] is None:
            del self.lines[name], self.rings[name]
            return
        known = self.lines.setdefault(name, {"marks": []})
        known["marks"] += marks
        ring = self.rings.setdefault(name, Ring())
        rows = line.pop("rows", None) or ([line.pop("row")] if "row" in line else [])
        for row in rows:
            ring.add(tuple(row))
        if not rows:
            self._hold(name, now)
        known.update(line)

    def _hold(self, name: str, now: float) -> None:
        last = self.rings[name].rows[-1]
        if now > last[0]:
            self.rings[name].add((now, False, *last[2:]))


STEPS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 1.0, 1.0, 30.0]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(STEPS)
def test_reader_of_all_messages_holds_what_the_kernel_holds(steps: list[Any]) -> None:
    history, reader = History(), Reader()
    wire = Wire(history)
    at, seq, device = 0.0, 0, DeviceStats(host="h", index=0, uuid="u", name="A", utilization=1.0)
    for number, (pause, pending, busy, has_device, is_marked) in enumerate(steps):
        at += pause
        seq += is_marked
        seen = pool(at, pending=pending, containers=containers(busy=busy))
        other = [pool(at, pool_id="ap-1/g", function="g")] if pending else []
        marks = [mark(seq, at)] if is_marked else []
        history.add(app(seen, *other, at=at, devices=(device,) if has_device else ()), marks)
        reader.read(wire.delta(every=1.0)[0] if number else wire.state(every=1.0))
    kept: dict[str, Ring[Any]] = {
        **{k: v.ring for k, v in history.pools.items()},
        **history.devices,
    }
    assert reader.rings.keys() == kept.keys()
    for name, ring in kept.items():
        assert [tuple(row) for row in reader.rings[name].rows] == [tuple(r) for r in ring.rows]
    fresh = Reader()
    fresh.read(Wire(history).state(every=1.0))
    assert reader.lines == fresh.lines


def _watched(**facts: Any) -> tuple[History, Wire]:
    history = History()
    history.add(app(pool(1.0, **facts)))
    wire = Wire(history)
    wire.state(every=1.0)
    return history, wire


def test_nothing_new_is_a_beat_of_a_few_bytes() -> None:
    history, wire = _watched()
    history.add(app(pool(2.0)))
    message, is_news = wire.delta(every=0.5)
    assert message == {"kind": "delta", "now": 2.0, "every": 0.5, "pools": [], "devices": []}
    assert not is_news


def test_passing_container_time_is_no_news() -> None:
    present = containers(idle=1)
    history, wire = _watched(containers=present)
    history.add(app(pool(2.0, containers=present)))
    message, is_news = wire.delta(every=1.0)
    assert [line.keys() for line in message["pools"]] == [{"id", "cost"}]
    assert not is_news


def test_news_are_the_point_and_the_facts_that_changed() -> None:
    history, wire = _watched()
    history.add(app(pool(2.0, pending=5, reason="5 pending → want 5")))
    message, is_news = wire.delta(every=1.0)
    [line] = message["pools"]
    assert line.keys() == {"id", "row", "brief", "figures", "summary", "why"}
    assert line["why"] == "5 pending → want 5"
    assert is_news


def test_messages_are_small_enough() -> None:
    """At four a second with a hundred containers, well below the megabyte a second of a server."""
    history, wire = _watched(containers=containers(busy=100))
    history.add(app(pool(2.0, containers=containers(busy=99, idle=1), pending=3)))
    assert len(json.dumps(wire.delta(every=0.25)[0])) < 10_000
    for at in range(3, 4000):
        history.add(app(pool(float(at), pending=at % 17, done=at, wait_p50=0.1 * (at % 3))))
    assert len(json.dumps(wire.state(every=1.0))) < 500_000


def test_containers_tell_until_when_they_stay() -> None:
    history, wire = _watched(containers=containers(idle=1, busy=1))
    [line] = wire.state(every=1.0)["pools"]
    assert line["containers"] == [
        ["ap-f-0", "idle", 0, None, 64, 60.0, []],
        ["ap-f-1", "busy", 1, 0.5, 64, None, []],
    ]
    assert history.pools.keys() == {POOL_ID}


def test_script_and_style_load_nothing_from_elsewhere() -> None:
    for path in Path(render.STATIC).iterdir():
        shipped = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|\bimport\s*\(|^import ", shipped, re.MULTILINE), (
            path
        )
