"""The charts: which lines each of them has, and how they are drawn as still pictures."""

from __future__ import annotations

import datetime
import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from modalnb.notebook import svg
from modalnb.notebook.history import PoolHistory, Sample
from modalnb.notebook.svg import Frame
from modalnb.notebook.words import SIGNS
from modalnb.snapshot import ContainerState, Mark, MarkKind, PoolSnapshot

#: Seconds from one label of the time axis to the next.
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
WIDTH = 640
LEFT, RIGHT, HEAD = 44, 10, 18
POINTS = 240

#: The states in the order in which they are stacked, from below.
STACK: tuple[ContainerState, ...] = ("busy", "draining", "idle", "booting")
#: What stands for each kind of line in a legend.
DASH = {"area": "▬", "line": "—", "dashed": "╌"}
#: The sign of each mark, and its name.
MARKS: dict[MarkKind, tuple[str, str]] = {
    "ready": ("▲", "cold start"),
    "died": ("✕", "died"),
    "settings": ("⚑", "settings changed"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: the field of the sample that it shows, how, and its name.

    `label` names it beside the chart's title, `name` where it stands alone.
    """

    field: str
    label: str
    kind: Literal["area", "line", "dashed"]
    name: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of lines; it is left out while all its fields are None or 0."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    height: int = 46
    is_always_there: bool = field(default=False)


CHARTS = (
    Chart(
        "inputs",
        "",
        (
            Line("pending", "pending", "area", "pending"),
            Line("running", "running", "line", "running"),
        ),
        is_always_there=True,
    ),
    Chart(
        "throughput",
        "outputs/s",
        (Line("rate", "", "area", "throughput"),),
        is_always_there=True,
    ),
    Chart(
        "wait for a container",
        "s",
        (
            Line("wait_p95", "p95", "area", "wait p95"),
            Line("wait_p50", "p50", "dashed", "wait p50"),
        ),
    ),
    Chart(
        "CPU that busy containers want",
        "cores",
        (Line("cpu", "all", "area", "CPU"), Line("cpu_most", "largest", "dashed", "CPU, largest")),
    ),
    Chart(
        "memory",
        "MiB",
        (
            Line("memory", "all", "area", "memory"),
            Line("memory_most", "largest", "dashed", "memory, largest"),
        ),
    ),
)


def is_shown(chart: Chart, rows: Iterable[Sample]) -> bool:
    """Whether there is anything to draw."""
    names = [line.field for line in chart.lines]
    return chart.is_always_there or any(getattr(row, name) for row in rows for name in names)


def present(row: Sample) -> int:
    """All containers."""
    return row.busy + row.draining + row.idle + row.booting


def containers_top(rows: Sequence[Sample]) -> float:
    """The upper end of the axis: what was there, and the bounds if they are not far away."""
    highest = max((max(present(row), row.minimum) for row in rows), default=0)
    bounds = [row.maximum for row in rows[-1:] if row.maximum is not None]
    near = [bound for bound in bounds if bound <= max(4, 2 * highest)]
    return max(4.0, svg.nice(max([highest, *near]) + 0.5))


def containers_svg(pool: PoolSnapshot, history: PoolHistory, key: str, height: int = 104) -> str:
    """Containers by state inside the band of min and max, with the buffer hatched, and marks."""
    rows = list(history.ring.rows)
    begin, end = _span(rows)
    top = containers_top(rows)
    frame = Frame(LEFT, HEAD + 12, WIDTH - LEFT - RIGHT, height, begin, end, top)
    parts = [_hatch(key), _bounds(frame, rows), _stack(frame, rows), _buffer(frame, rows, key)]
    entries = [
        (SIGNS[name][1], f"modalnb-{name}", f"{count} {name}")
        for name in STACK
        if (count := getattr(rows[-1], name))
    ]
    parts += [_axis(frame, top), _title("containers", entries or [("", "", "none")])]
    parts += [_mark(frame, mark) for mark in history.marks if begin <= mark.at <= end]
    return _svg("".join(parts), frame.top + height + 6, f"Containers of {pool.function} over time")


def chart_svg(chart: Chart, rows: Sequence[Sample]) -> str:
    """One chart of lines."""
    begin, end = _span(rows)
    lines = {
        line: [(row.at, None if row.is_cut else getattr(row, line.field)) for row in rows]
        for line in chart.lines
    }
    values = [value for points in lines.values() for _, value in points if value is not None]
    top = svg.nice(max([*values, 0]))
    frame = Frame(LEFT, HEAD, WIDTH - LEFT - RIGHT, chart.height, begin, end, top)
    parts = []
    for n, (line, points) in enumerate(lines.items()):
        kept = svg.thin(points, POINTS)
        if line.kind == "area":
            parts.append(svg.area(frame, kept, f"modalnb-area modalnb-c{n}"))
        parts.append(svg.line(frame, kept, f"modalnb-{_stroke(line)} modalnb-c{n}"))
    entries = [
        (DASH[line.kind], f"modalnb-c{n}", _now(line, rows[-1]))
        for n, line in enumerate(chart.lines)
    ]
    name = f"{chart.title}, {chart.unit}" if chart.unit else chart.title
    parts += [_axis(frame, top), _title(name, entries)]
    now = ", ".join(_now(line, rows[-1]) for line in chart.lines)
    return _svg("".join(parts), HEAD + chart.height + 4, f"{name} over time; now {now}")


def _now(line: Line, row: Sample) -> str:
    return f"{line.label} {_value(getattr(row, line.field))}".strip()


def _stroke(line: Line) -> str:
    return "dashed" if line.kind == "dashed" else "line"


def time_axis_svg(rows: Sequence[Sample], clock: float) -> str:
    """The time of day below all charts; `clock` is what makes seconds since 1970 of a time."""
    begin, end = _span(rows)
    frame = Frame(LEFT, 0, WIDTH - LEFT - RIGHT, 4, begin, end, 1)
    step = next((s for s in TICKS if (end - begin) / s <= 6), TICKS[-1])
    zone = datetime.datetime.fromtimestamp(end + clock).astimezone().utcoffset()
    shift = clock + (zone.total_seconds() if zone else 0.0)
    first = math.ceil((begin + shift) / step) * step - shift
    parts = []
    for n in range(int((end - first) / step) + 1):
        x = frame.x(first + n * step)
        words = f"{datetime.datetime.fromtimestamp(first + n * step + clock + 1e-3):%H:%M:%S}"
        anchor = "end" if x > WIDTH - RIGHT - 24 else "middle"
        parts.append(svg.text(x, 12, words, "modalnb-tick", anchor))
    return _svg("".join(parts), 16, "time axis")


def _span(rows: Sequence[Sample]) -> tuple[float, float]:
    end = rows[-1].at
    return min(rows[0].at, end - 10), end


def _svg(body: str, height: float, title: str) -> str:
    return (
        f'<svg role="img" class="modalnb-chart" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}"><title>{html.escape(title)}</title>{body}</svg>'
    )


def _title(title: str, now: Iterable[tuple[str, str, str]]) -> str:
    name = svg.text(LEFT, 12, title, "modalnb-name")
    return name + svg.legend(WIDTH - RIGHT, 12, now, "modalnb-now")


def _axis(frame: Frame, top: float) -> str:
    right = frame.left + frame.width
    lines = "".join(
        f'<line class="modalnb-grid" x1="{frame.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (frame.y(0), frame.y(top))
    )
    return (
        lines
        + svg.text(frame.left - 6, frame.y(0) + 1, "0", "modalnb-tick", "end")
        + svg.text(frame.left - 6, frame.y(top) + 7, f"{top:,g}", "modalnb-tick", "end")
    )


def _value(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 1 and value != int(value) else f"{value:,.0f}"


def _stepped(rows: Sequence[Sample], value: Sequence[float]) -> list[tuple[float, float]]:
    return svg.steps(list(zip((row.at for row in rows), value, strict=True)))


def _thinned(rows: Sequence[Sample]) -> list[Sample]:
    """Samples enough for a picture, with the heights of all stretches of time."""
    by_time = {row.at: row for row in rows}
    return [by_time[at] for at, _ in svg.thin([(row.at, present(row)) for row in rows], POINTS)]


def _stack(frame: Frame, rows: Sequence[Sample]) -> str:
    parts = []
    for run in _cut(_thinned(rows)):
        below = [0.0] * len(run)
        for name in STACK:
            above = [low + getattr(row, name) for low, row in zip(below, run, strict=True)]
            if above != below:
                corners = _stepped(run, above), _stepped(run, below)
                parts.append(svg.band(frame, *corners, f"modalnb-state modalnb-{name}"))
            below = above
    return "".join(parts)


def _cut(rows: Sequence[Sample]) -> list[list[Sample]]:
    """The stretches of which everything is known."""
    found: list[list[Sample]] = [[]]
    for row in rows:
        if row.is_cut and found[-1]:
            found.append([])
        found[-1].append(row)
    return [run for run in found if run]


def _bounds(frame: Frame, rows: Sequence[Sample]) -> str:
    """The shaded band between min and max, and a line for each."""
    thinned = _thinned(rows)
    lower = _stepped(thinned, [row.minimum for row in thinned])
    upper = _stepped(
        thinned, [frame.most if row.maximum is None else row.maximum for row in thinned]
    )
    parts = [svg.band(frame, upper, lower, "modalnb-band")]
    last = rows[-1]
    if last.maximum is not None and last.maximum <= frame.most:
        parts.append(svg.line(frame, upper, "modalnb-bound"))
    if any(row.minimum for row in rows):
        parts.append(svg.line(frame, lower, "modalnb-bound"))
    return "".join(parts)


def _buffer(frame: Frame, rows: Sequence[Sample], key: str) -> str:
    """What the buffer adds to the busy ones, hatched."""
    parts = []
    for run in _cut(_thinned(rows)):
        if any(row.buffer for row in run):
            low = [float(row.busy + row.draining) for row in run]
            caps = [frame.most if row.maximum is None else row.maximum for row in run]
            high = [
                max(base, min(base + row.buffer, cap))
                for base, row, cap in zip(low, run, caps, strict=True)
            ]
            polygon = svg.band(frame, _stepped(run, high), _stepped(run, low), "modalnb-buffer")
            parts.append(polygon.replace("<polygon", f'<polygon fill="url(#modalnb-hatch-{key})"'))
    return "".join(parts)


def _hatch(key: str) -> str:
    return (
        f'<defs><pattern id="modalnb-hatch-{key}" width="6" height="6" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="modalnb-hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
    )


def _mark(frame: Frame, mark: Mark) -> str:
    sign, name = MARKS[mark.kind]
    x = frame.x(mark.at)
    title = f"<title>{html.escape(f'{name}: {mark.text}')}</title>"
    return (
        f'<g class="modalnb-mark modalnb-{mark.kind}">{title}'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top - 2:g}" y2="{frame.y(0):.1f}"/>'
        + svg.text(x, frame.top - 3, sign, "modalnb-sign", "middle")
        + "</g>"
    )
