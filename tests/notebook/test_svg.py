"""Scales and lines: inside the frame, with all extremes, in the order of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.notebook import svg
from modalnb.notebook.svg import Frame

FRAME = Frame(40, 10, 600, 100, 0.0, 60.0, 8.0)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0, 1), (0.03, 0.03), (0.9, 1), (1.1, 1.2), (7, 8), (95, 100), (1234, 1500)],
)
def test_nice_is_the_next_round_number(value: float, rounded: float) -> None:
    assert svg.nice(value) == pytest.approx(rounded)


@given(st.floats(1e-6, 1e9))
def test_nice_is_never_below_nor_far_above(value: float) -> None:
    assert value * 0.999 <= svg.nice(value) <= value * 1.5


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_everything_lies_in_the_frame(at: float, value: float) -> None:
    assert 40 <= FRAME.x(at) <= 640
    assert 10 <= FRAME.y(value) <= 110


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=2000),
    st.integers(10, 100),
)
def test_thinned_line_keeps_its_extremes_and_its_end(values: list[float | None], most: int) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]
    kept = svg.thin(points, most)
    assert len(kept) <= max(most + 3, 3)
    assert [at for at, _ in kept] == sorted(at for at, _ in kept)
    assert set(kept) <= set(points)
    assert kept[-1] == points[-1]
    known = [value for value in values if value is not None]
    if known:
        assert max(known) in [value for _, value in kept]


def test_steps_hold_each_value_until_the_next() -> None:
    assert svg.steps([(0, 1), (1, 1), (2, 3)]) == [(0, 1), (1, 1), (2, 1), (2, 3)]


def test_gaps_part_a_line() -> None:
    drawn = svg.line(FRAME, [(0, 1.0), (1, 2.0), (2, None), (3, 4.0)], "kind")
    assert drawn.count("<polyline") == 2
    assert svg.area(FRAME, [(0, None)], "kind") == ""


def test_text_is_escaped() -> None:
    assert "&lt;b&gt;" in svg.text(0, 0, "<b>", "kind")
    assert "&lt;b&gt;" in svg.legend(0, 0, [("■", "kind", "<b>")], "kind")
