"""A history as self-contained HTML with inline SVG: what is saved, and what needs no live view."""

from __future__ import annotations

import html
import zlib
from pathlib import Path

from modalnb.notebook import charts, words
from modalnb.notebook.history import MIB, History, PoolHistory
from modalnb.snapshot import AppSnapshot, DeviceStats, PoolSnapshot

STATIC = Path(__file__).parent / "static"
CSS = (STATIC / "dashboard.css").read_text(encoding="utf-8")

#: Front ends of Jupyter put an error in the place of a view whose kernel is gone; the picture
#: that stands right behind it tells the same story better.
_LOST_VIEW = (
    ".jp-OutputArea-child:not(:has(.modalnb-root)):has(+ .jp-OutputArea-child .{mark})"
    " {{ display: none; }}"
)

NO_GPU = "No GPU: the hosts of this engine report none."
MAX_TILES = 60


def dashboard_html(history: History, *, rate: float | None = None, with_style: bool = True) -> str:
    """Everything that is known, as it is now."""
    snapshot = history.latest
    style = f"<style>{CSS}</style>" if with_style else ""
    if snapshot is None:
        return f'{style}<div class="modalnb-board modalnb-still">Nothing has been seen yet.</div>'
    pools = history.shown()
    parts = [_pool_html(pool, history.pools[pool.pool_id], rate, history.clock) for pool in pools]
    if not parts:
        parts = ["<p>The app has no functions yet.</p>"]
    body = "".join(parts) + devices_html(snapshot)
    name = html.escape(snapshot.name or snapshot.app_id)
    return (
        f'{style}<div class="modalnb-board modalnb-still">'
        f'<div class="modalnb-head"><b>{name}</b></div>{body}</div>'
    )


def behind(picture: str, mark: str, *, has_view: bool) -> str:
    """The picture as it is saved behind a view, which hides what has the class `mark`."""
    style = f"<style>{_LOST_VIEW.format(mark=mark)}</style>" if has_view else ""
    return f'{style}<div class="{mark}">{picture}</div>'


def _pool_html(pool: PoolSnapshot, history: PoolHistory, rate: float | None, clock: float) -> str:
    rows = list(history.ring.rows)
    key = f"{zlib.crc32(pool.pool_id.encode()):08x}"
    pictures = [charts.containers_svg(pool, history, key)]
    pictures += [charts.chart_svg(c, rows) for c in charts.CHARTS if charts.is_shown(c, rows)]
    pictures.append(charts.time_axis_svg(rows, clock))
    cost = words.cost(history.spending.seconds, rate)
    return (
        '<section class="modalnb-pool">'
        f'<p class="modalnb-summary">{html.escape(words.summary(pool, rows[-1].rate))}</p>'
        f'<div class="modalnb-charts">{"".join(pictures)}</div>'
        f"{_why(pool)}{tiles_html(pool)}{batches_html(pool)}{settings_html(pool)}"
        f'{gauges_html(pool)}<p class="modalnb-cost">{html.escape(cost)}</p></section>'
    )


def _why(pool: PoolSnapshot) -> str:
    reason = html.escape(pool.reason or "nothing has been decided yet")
    return f'<p class="modalnb-why"><b>why</b> {reason}</p>'


def tiles_html(pool: PoolSnapshot) -> str:
    """The strip: a tile per container with letter, shape and words."""
    tiles = []
    for container in pool.containers[:MAX_TILES]:
        letter, shape = words.SIGNS[container.state]
        title = words.container_words(container, pool.settings, pool.taken_at)
        label = html.escape(f"{container.container_id}: {title}")
        tiles.append(
            f'<span class="modalnb-tile modalnb-{container.state}" title="{label}">'
            f"{html.escape(container.container_id.rpartition('-')[2])} {shape} {letter}</span>"
        )
    more = len(pool.containers) - MAX_TILES
    if more > 0:
        tiles.append(f"<span>and {more} more</span>")
    return f'<div class="modalnb-strip">{"".join(tiles)}</div>' if tiles else ""


def batches_html(pool: PoolSnapshot) -> str:
    """How often batches had which size, as bars."""
    if pool.max_batch_size <= 1 or not pool.batch_sizes:
        return ""
    most = max(count for _, count in pool.batch_sizes)
    bars = "".join(
        f'<span class="modalnb-bar" title="{count:,} batches of {size}">'
        f'<i style="height:{max(1, round(28 * count / most))}px"></i>{size}</span>'
        for size, count in sorted(pool.batch_sizes)
    )
    return f'<div class="modalnb-batches"><b>batch sizes</b>{bars}</div>'


def settings_html(pool: PoolSnapshot) -> str:
    """The four parameters: declared, override, in force."""
    changed = words.overridden(pool)
    head = "".join(f"<th>{name}</th>" for name in ("", "declared", "override", "in force"))
    rows = []
    for name, label in words.PARAMETERS.items():
        declared = words.parameter(name, getattr(pool.static, name))
        value = words.parameter(name, getattr(pool.settings, name))
        cells = (label.partition(",")[0], declared, value if name in changed else "–", value)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<table class="modalnb-table"><tr>{head}</tr>{"".join(rows)}</table>'


def gauges_html(pool: PoolSnapshot) -> str:
    """How much of each limit is used; amber from 80 % on, and said in words too."""
    parts = []
    for gauge in pool.gauges:
        is_amber = gauge.level >= words.AMBER
        kind = "modalnb-gauge modalnb-amber" if is_amber else "modalnb-gauge"
        parts.append(
            f'<span class="{kind}"><i style="width:{100 * gauge.level:.1f}%"></i>'
            f"<b>{'⚠ ' * is_amber}{html.escape(words.gauge_words(gauge))}</b></span>"
        )
    return f'<div class="modalnb-gauges">{"".join(parts)}</div>' if parts else ""


def devices_html(snapshot: AppSnapshot) -> str:
    """The GPUs of all hosts, or the sentence that there are none."""
    if not snapshot.devices:
        return f'<p class="modalnb-nogpu">{html.escape(no_gpu(snapshot))}</p>'
    head = "".join(f"<th>{n}</th>" for n in ("GPU", "host", "utilization", "memory", "container"))
    rows = ""
    for device in snapshot.devices:
        cells = (f"{device.index} {device.name}", device.host, *device_words(device))
        rows += "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    return f'<table class="modalnb-table"><tr>{head}</tr>{rows}</table>'


def no_gpu(snapshot: AppSnapshot) -> str:
    """The sentence where there is no GPU to show: a driver that is silent may have some."""
    if snapshot.device_errors:
        return f"No GPU is known: {'; '.join(snapshot.device_errors)}."
    return NO_GPU


def device_words(device: DeviceStats) -> tuple[str, str, str]:
    """Utilization, memory and container of a GPU; an error stands where numbers would."""
    if device.error is not None:
        return device.error, "–", device.container_id or "–"
    used, total = device.memory_used, device.memory_total
    load = "–" if device.utilization is None else f"{device.utilization:.0f} %"
    memory = "–" if used is None else words.mebibytes(used / MIB)
    if used is not None and total:
        memory += f" of {words.mebibytes(total / MIB)}"
    return load, memory, device.container_id or "free"
