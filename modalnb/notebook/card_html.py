"""Draws a job as HTML: the same card while it runs and when it is saved with the notebook."""

from __future__ import annotations

import html
from collections.abc import Callable

from modalnb.notebook.job_facts import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    JobFacts,
    container_words,
    count_words,
    head_words,
    time_words,
)

#: Inputs that have a square of their own; more share one.
MAX_SQUARES = 300
COLUMNS = 60
_PITCH = 10

_GREEN = "var(--jp-success-color1, #2e7d32)"
_RED = "var(--jp-error-color1, #c62828)"
_BLUE = "var(--jp-brand-color1, #1565c0)"
_GREY = "var(--jp-ui-font-color2, GrayText)"
_LINE = "var(--jp-border-color2, GrayText)"
_TEXT = "var(--jp-ui-font-color1, CanvasText)"

#: A sign and a colour for each stage, so that neither has to be seen to know it.
_SIGNS = {
    "queued": ("○", _GREY),
    "booting": ("◔", _BLUE),
    "running": ("▶", _BLUE),
    "done": ("✓", _GREEN),
    "failed": ("✗", _RED),
    "cancelled": ("⊘", _GREY),
    "interrupted": ("⊘", _GREY),
}


def card(facts: JobFacts) -> str:
    """The card of a job."""
    parts = [_head(facts)]
    if facts.expected > 1:
        parts += [_bar(facts), grid(facts.marks, facts.expected)]
    if facts.note:
        parts.append(f'<div style="color:{_GREY};margin-top:2px">{html.escape(facts.note)}</div>')
    if facts.tail and not facts.is_ended:
        lines = html.escape("\n".join(facts.tail))
        parts.append(
            f'<pre style="margin:4px 0 0;color:{_GREY};font-size:0.9em;line-height:1.3;'
            f'white-space:pre-wrap;overflow-wrap:anywhere">{lines}</pre>'
        )
    style = (
        f"border:1px solid {_LINE};border-radius:4px;padding:6px 10px;margin:2px 0;"
        f"max-width:640px;color:{_TEXT};font-size:13px;line-height:1.5;"
        "font-variant-numeric:tabular-nums"
    )
    return f'<div class="modalnb-card" style="{style}">{"".join(parts)}</div>'


def _head(facts: JobFacts) -> str:
    sign, colour = _SIGNS[facts.stage]
    words = (*count_words(facts), container_words(facts), *time_words(facts))
    line = " · ".join(
        f'<span style="white-space:nowrap">{html.escape(w)}</span>' for w in words if w
    )
    return (
        '<div style="display:flex;column-gap:8px">'
        f'<span style="color:{colour};width:1em" aria-hidden="true">{sign}</span>'
        f"<b>{html.escape(facts.function)}</b><span>{html.escape(head_words(facts))}</span>"
        f'<span style="color:{_GREY};margin-left:auto">{html.escape(facts.job_id)}</span></div>'
        f'<div style="color:{_GREY}">{line}</div>'
    )


def _bar(facts: JobFacts) -> str:
    parts = "".join(
        f'<div style="width:{count / facts.expected:.2%};background:{colour}"></div>'
        for count, colour in (
            (facts.done, _GREEN if facts.is_ended else _BLUE),
            (facts.failed, _RED),
            (facts.cancelled, _GREY),
        )
        if count
    )
    return (
        f'<div role="progressbar" aria-valuemin="0" aria-valuemax="{facts.expected}" '
        f'aria-valuenow="{facts.ended_inputs}" aria-label="inputs with a result" '
        f'style="display:flex;height:4px;margin:4px 0;border-radius:2px;overflow:hidden;'
        f'background:{_LINE}">{parts}</div>'
    )


# -- the grid: a square an input ---------------------------------------------------------------


def grid(marks: bytes, expected: int) -> str:
    """A square for each input, in their order; for each group of inputs when there are many."""
    group = max(1, -(-expected // MAX_SQUARES))
    squares = summarise(marks, expected, group)
    rows = -(-len(squares) // COLUMNS)
    paths = []
    for mark, (draw, style) in _SHAPES.items():
        places = [place for place, other in enumerate(squares) if other == mark]
        if places:
            shape = "".join(draw(*_corner(place)) for place in places)
            paths.append(f'<path d="{shape}" style="{style}"/>')
    width, height = min(len(squares), COLUMNS) * _PITCH, rows * _PITCH
    what = "an input" if group == 1 else f"{group:,} inputs"
    title = f"A square is {what}: filled is done, a frame runs, a cross failed, a dot waits."
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'style="display:block;max-width:100%;margin-top:4px"><title>{title}</title>'
        f"{''.join(paths)}</svg>"
    )


def summarise(marks: bytes, expected: int, group: int) -> list[int]:
    """One mark for each group: failed if an input failed, running if one runs or some are done."""
    full = marks + bytes(max(0, expected - len(marks)))
    if group == 1:
        return list(full)
    return [_summary(full[start : start + group]) for start in range(0, len(full), group)]


def _summary(part: bytes) -> int:
    for mark in (FAILED, RUNNING, CANCELLED):
        if mark in part:
            return mark
    return part[0] if part == part[:1] * len(part) else RUNNING


def _corner(place: int) -> tuple[int, int]:
    row, column = divmod(place, COLUMNS)
    return column * _PITCH, row * _PITCH


def _square(x: int, y: int) -> str:
    return f"M{x} {y}h8v8h-8z"


def _frame(x: int, y: int) -> str:
    return f"M{x + 1} {y + 1}h6v6h-6z"


def _cross(x: int, y: int) -> str:
    return f"M{x + 1} {y + 1}l6 6m0 -6l-6 6"


def _dot(x: int, y: int) -> str:
    return f"M{x + 3} {y + 3}h2v2h-2z"


def _dash(x: int, y: int) -> str:
    return f"M{x + 1} {y + 4}h6"


_SHAPES: dict[int, tuple[Callable[[int, int], str], str]] = {
    QUEUED: (_dot, f"fill:{_GREY}"),
    RUNNING: (_frame, f"fill:none;stroke:{_BLUE};stroke-width:2"),
    DONE: (_square, f"fill:{_GREEN}"),
    FAILED: (_cross, f"fill:none;stroke:{_RED};stroke-width:2"),
    CANCELLED: (_dash, f"fill:none;stroke:{_GREY};stroke-width:2"),
}
