"""A history as plain text, for terminals and wherever nothing else is shown."""

from __future__ import annotations

from modalnb.notebook import charts, words
from modalnb.notebook.history import History, PoolHistory
from modalnb.notebook.render import device_words, no_gpu
from modalnb.snapshot import PoolSnapshot

BARS = " ▁▂▃▄▅▆▇█"
SPARK_WIDTH = 40


def dashboard_text(history: History, *, rate: float | None = None) -> str:
    """Everything that is known, as lines."""
    snapshot = history.latest
    if snapshot is None:
        return "Nothing has been seen yet."
    lines = [f"App {snapshot.name or snapshot.app_id}"]
    for pool in history.shown():
        lines += _pool_lines(pool, history.pools[pool.pool_id], rate)
    lines += [f"  {' | '.join(cells)}" for cells in _devices(history)] or [no_gpu(snapshot)]
    return "\n".join(lines)


def _devices(history: History) -> list[tuple[str, ...]]:
    assert history.latest is not None
    return [
        (f"GPU {d.index} {d.name} on {d.host}", *device_words(d)) for d in history.latest.devices
    ]


def _pool_lines(pool: PoolSnapshot, history: PoolHistory, rate: float | None) -> list[str]:
    rows = list(history.ring.rows)
    shown = ", ".join(
        f"{label.partition(',')[0]} {words.parameter(name, getattr(pool.settings, name))}"
        + "*" * (name in words.overridden(pool))
        for name, label in words.PARAMETERS.items()
    )
    lines = [
        words.summary(pool, rows[-1].rate),
        f"  containers {spark([(row.at, charts.present(row)) for row in rows])}",
        f"  inputs     {spark([(row.at, row.pending + row.running) for row in rows])}",
        f"  why        {pool.reason or 'nothing has been decided yet'}",
        f"  settings   {shown}" + " (* not as declared)" * bool(words.overridden(pool)),
    ]
    lines += [
        f"  limit      {words.gauge_words(gauge)}"
        for gauge in pool.gauges
        if gauge.level >= words.AMBER
    ]
    return [*lines, f"  cost       {words.cost(history.spending.seconds, rate)}"]


def spark(points: list[tuple[float, int]]) -> str:
    """A line of bars over time, each the highest of its stretch, and the highest of all."""
    begin, end = points[0][0], points[-1][0]
    width = SPARK_WIDTH if end > begin else 1
    peaks = [0] * width
    held, place = points[0][1], 0
    for at, value in points:
        here = min(width - 1, int((at - begin) / max(end - begin, 1e-9) * width))
        for between in range(place, here + 1):
            peaks[between] = max(peaks[between], held)
        peaks[here] = max(peaks[here], value)
        held, place = value, here
    most = max(peaks)
    bars = "".join(BARS[-(-peak * (len(BARS) - 1) // max(1, most))] for peak in peaks)
    return f"{bars} up to {most:,}"
