"""The page's script by itself: it keeps the same points and draws to the same scales as Python."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from modalnb.notebook import svg
from modalnb.notebook.history import History, Ring
from modalnb.notebook.page import ESM
from modalnb.notebook.wire import Wire
from tests.notebook.samples import app, containers, mark, pool
from tests.notebook.test_wire import Reader

IMPORT = "const m = await import('data:text/javascript,' + encodeURIComponent(source));"


@pytest.fixture
def script(browser: Any) -> Iterator[Any]:
    """Calls a piece of script with the module as ``m`` and an argument as ``given``."""
    page = browser.new_page()

    def call(body: str, given: Any = None) -> Any:
        code = f"async ([source, given]) => {{ {IMPORT} {body} }}"
        return page.evaluate(code, [ESM, given])

    yield call
    page.close()


def test_script_has_what_anywidget_calls(script: Any) -> None:
    assert script("return Object.keys(m.default())") == ["initialize", "render"]


def test_round_numbers_are_those_of_python(script: Any) -> None:
    values = [0, 0.003, 0.2, 1, 1.1, 2.3, 7, 33, 99, 12345.6]
    there = script("return given.map(m.nice)", values)
    assert there == pytest.approx([svg.nice(value) for value in values])


def test_ring_keeps_the_points_that_python_keeps(script: Any) -> None:
    chance = random.Random(7)
    rows = [[float(n), chance.random() < 0.05, chance.randrange(3)] for n in range(400)]
    ring: Ring[Any] = Ring(100)
    for row in rows:
        ring.add(tuple(row))
    body = "const r = new m.Ring([], 100); for (const row of given) r.add(row); return r.rows"
    assert [tuple(row) for row in script(body, rows)] == list(ring.rows)


def test_store_holds_what_the_kernel_sent(script: Any) -> None:
    """The model of the page that test_wire.py trusts does what the page does."""
    chance = random.Random(3)
    history, reader, messages = History(), Reader(), []
    wire = Wire(history)
    for n in range(60):
        seen = pool(float(n), pending=chance.randrange(2), containers=containers(busy=n // 20))
        other = [pool(float(n), pool_id="ap-1/g", function="g")] if n // 15 % 2 else []
        history.add(app(seen, *other), [mark(n, float(n))] if n % 9 == 1 else [])
        message = wire.delta(every=1.0)[0] if n else wire.state(every=1.0)
        messages.append(json.loads(json.dumps(message)))
        reader.read(message)
    there = script(
        "const s = new m.Store(); for (const message of given) s.apply(message);"
        " return [...s.pools.values()].map((p) => ({ ...p, rows: p.ring.rows }))",
        messages,
    )
    assert {line["id"] for line in there} == reader.rings.keys()
    for line in there:
        kept = reader.rings[line["id"]].rows
        assert [tuple(row) for row in line["rows"]] == [tuple(row) for row in kept]
        assert line["marks"] == reader.lines[line["id"]]["marks"]
        assert line["summary"] == reader.lines[line["id"]]["summary"]


def test_changes_before_the_first_state_show_nothing_yet(script: Any) -> None:
    """A reloaded page hears the ticks that were under way before its own question is answered."""
    history = History()
    history.add(app(pool(1.0, containers=containers(busy=1))), [])
    wire = Wire(history)
    state = wire.state(every=1.0)
    history.add(app(pool(2.0, containers=containers(busy=2))), [])
    delta = wire.delta(every=1.0)[0]
    there = script(
        "const s = new m.Store(), seen = []; for (const message of given) {"
        " s.apply(message); seen.push([...s.pools.values()].map((p) => p.ring.rows.length)); }"
        " return seen",
        json.loads(json.dumps([delta, state, delta])),
    )
    assert there == [[], [1], [2]]


def test_thinned_lines_keep_extremes_and_end(script: Any) -> None:
    chance = random.Random(1)
    rows = [[float(n), False, chance.random()] for n in range(5000)]
    kept = script("return m.thin(given, (row) => row[2], 300)", rows)
    assert len(kept) <= 303
    assert max(row[2] for row in kept) == max(row[2] for row in rows)
    assert min(row[2] for row in kept) == min(row[2] for row in rows)
    assert kept[-1] == rows[-1]


def test_cuts_and_missing_values_part_a_line(script: Any) -> None:
    rows = [[0, False, 1], [1, False, None], [2, False, 2], [3, True, 3], [4, False, 4]]
    runs = script("return m.stretches(given, 2).map((run) => run.map((row) => row[0]))", rows)
    assert runs == [[0], [2], [3, 4]]
