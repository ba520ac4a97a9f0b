"""Small pieces of SVG: scales, lines, areas and steps, thinned to what a picture can show."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ROUND = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)

#: (time, value); a value of None is a gap.
Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a chart's own area lies, and which times and values it spans."""

    left: float
    top: float
    width: float
    height: float
    begin: float
    end: float
    most: float

    def x(self, at: float) -> float:
        """The place of a time."""
        span = max(self.end - self.begin, 1e-9)
        return self.left + self.width * min(1.0, max(0.0, (at - self.begin) / span))

    def y(self, value: float) -> float:
        """The place of a value; what is above the frame lies on its edge."""
        return self.top + self.height * (1 - min(1.0, max(0.0, value / self.most)))


def nice(value: float) -> float:
    """The next round number: one of :data:`ROUND` times a power of ten."""
    if value <= 1e-9:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in ROUND if power * step >= value * 0.9999)


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """At most about `most` points: of each stretch of time its lowest, highest and last one."""
    if len(points) <= most:
        return list(points)
    begin, span = points[0][0], max(points[-1][0] - points[0][0], 1e-9)
    buckets: dict[int, list[Point]] = {}
    for point in points:
        bucket = int((point[0] - begin) / span * (most // 3))
        buckets.setdefault(bucket, []).append(point)
    return [point for bucket in buckets.values() for point in _corners(bucket)]


def _corners(bucket: list[Point]) -> list[Point]:
    def value(index: int) -> float:
        found = bucket[index][1]
        return -1.0 if found is None else found

    indices = range(len(bucket))
    chosen = {min(indices, key=value), max(indices, key=value), len(bucket) - 1}
    return [bucket[index] for index in sorted(chosen)]


def _place(frame: Frame, at: float, value: float) -> str:
    return f"{frame.x(at):.1f},{frame.y(value):.1f}"


def runs(points: Iterable[Point]) -> list[list[tuple[float, float]]]:
    """The stretches without gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is not None:
            found[-1].append((at, value))
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


def steps(run: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a line on which each value holds until the next point."""
    corners = [run[0]]
    for at, value in run[1:]:
        if value != corners[-1][1]:
            corners.append((at, corners[-1][1]))
        corners.append((at, value))
    return corners


def line(frame: Frame, points: Sequence[Point], kind: str) -> str:
    """A line of CSS class `kind`."""
    parts = [" ".join(_place(frame, *point) for point in run) for run in runs(points)]
    return "".join(f'<polyline class="{kind}" points="{part}"/>' for part in parts)


def area(frame: Frame, points: Sequence[Point], kind: str) -> str:
    """The area below a line."""
    return "".join(band(frame, run, [(at, 0.0) for at, _ in run], kind) for run in runs(points))


def band(
    frame: Frame,
    upper: Sequence[tuple[float, float]],
    lower: Sequence[tuple[float, float]],
    kind: str,
) -> str:
    """The area between two lines."""
    corners = [*upper, *reversed(lower)]
    return (
        f'<polygon class="{kind}" points="{" ".join(_place(frame, *point) for point in corners)}"/>'
    )


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """A line of text."""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{html.escape(words)}</text>"
    )


def legend(x: float, y: float, entries: Iterable[tuple[str, str, str]], kind: str) -> str:
    """(sign, CSS class of the sign, words) side by side, ending at `x`."""
    spans = "\u2003".join(
        f'<tspan class="{sign_kind}">{sign}</tspan> {html.escape(words)}'
        for sign, sign_kind, words in entries
    )
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="end">{spans}</text>'
