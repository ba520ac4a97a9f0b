"""Draws the containers of a pool over time as a small SVG picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 40, 36
#: From the ground up.
COLOURS = {"busy": "#2f6fde", "idle": "#9dbcf2", "booting": "#f2b24d", "draining": "#b9b9b9"}


def draw(history: list[tuple[float, Counter[str]]], path: str, title: str) -> None:
    """Write the picture of what a pool was from each moment on.

    Parameters
    ----------
    history : list of (float, Counter)
        Seconds since the start, ascending, and the containers by state from then on.
    path : str
        The file to write.
    title : str
        A line above the picture.
    """
    end = max(history[-1][0] * 1.03, 0.1)
    most = max(1, *(sum(states.values()) for _, states in history))
    stops = [start for start, _ in history[1:]] + [end]
    bars = "".join(
        _bars(start, stop, states, end, most)
        for (start, states), stop in zip(history, stops, strict=True)
    )
    Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#555">'
        f"<title>Containers of a pool over time: {title}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>'
        f"{bars}{_axes(end, most)}{_legend()}"
        f'<text x="{WIDTH - RIGHT}" y="24" text-anchor="end">{title}</text></svg>\n'
    )


def _x(seconds: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / end


def _y(count: float, most: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / most


def _bars(start: float, stop: float, states: Mapping[str, int], end: float, most: int) -> str:
    """The containers of one span of time, a stack of their states."""
    drawn, ground = "", 0
    left, width = _x(start, end), _x(stop, end) - _x(start, end)
    for state, colour in COLOURS.items():
        count = states.get(state, 0)
        if count:
            top, height = _y(ground + count, most), _y(0, most) - _y(count, most)
            drawn += (
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(width, 0.5):.1f}" '
                f'height="{height:.1f}" fill="{colour}"/>'
            )
            ground += count
    return drawn


def _axes(end: float, most: int) -> str:
    lines = ""
    for count in range(most + 1):
        y = _y(count, most)
        lines += (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="#000" stroke-opacity="0.12"/>'
            f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{count}</text>'
        )
    step = max(1, round(end / 8))
    for seconds in range(0, int(end) + 1, step):
        x = _x(seconds, end)
        lines += f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{seconds} s</text>'
    return lines


def _legend() -> str:
    shown = ""
    for place, (state, colour) in enumerate(COLOURS.items()):
        x = LEFT + 90 * place
        shown += (
            f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>'
            f'<text x="{x + 18}" y="24">{state}</text>'
        )
    return shown
