"""Pictures and text of a history: well formed, complete, self-contained, told without colour."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from modalnb.notebook import charts, render, text
from modalnb.notebook.history import History
from modalnb.snapshot import DeviceStats, Gauge
from tests.notebook.samples import app, containers, mark, pool

VOID = {"line", "polyline", "polygon", "br", "meta"}


class _Tags(HTMLParser):
    """Checks that every element that is opened is closed, in the right order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _history(devices: tuple[DeviceStats, ...] = (), **facts: Any) -> History:
    history = History()
    settings = {"min_containers": 1, "max_containers": 4, "buffer_containers": 1}
    for at in range(40):
        present = containers(busy=min(3, at // 5), idle=1, booting=int(at % 10 == 0))
        seen = pool(
            float(at),
            **{
                "containers": present,
                "pending": 40 - at,
                "running": min(3, at // 5),
                "done": at * 3,
                "settings": settings,
                "reason": "40 pending <b> → want 4",
                "wait_p50": 0.5,
                "wait_p95": 1.5,
                **facts,
            },
        )
        marks = [mark(1, 9.5), mark(2, 20.0, "died", "killed by signal 9")] if at == 20 else []
        history.add(app(seen, devices=devices), marks)
    return history


def test_picture_is_well_formed_and_refers_to_nothing_outside() -> None:
    shown = render.dashboard_html(_history(), rate=1.0)
    _Tags(shown)
    assert "https://" not in shown
    assert "http://" not in shown
    assert "<script" not in shown
    assert "@import" not in shown


def test_every_chart_has_a_role_and_a_title() -> None:
    shown = render.dashboard_html(_history())
    pictures = re.findall(r"<svg .*?</svg>", shown, re.DOTALL)
    assert len(pictures) >= 6
    for picture in pictures:
        assert picture.startswith('<svg role="img"')
        assert re.match(r"<svg [^>]*><title>.+?</title>", picture)


def test_every_class_has_our_prefix() -> None:
    classes = re.findall(r'class="([^"]*)"', render.dashboard_html(_history()))
    names = {name for group in classes for name in group.split()}
    assert names
    assert all(name.startswith("modalnb-") for name in names)
    assert all(name in render.CSS for name in ("modalnb-tile", "modalnb-hatch", "modalnb-amber"))


def test_states_are_told_by_letter_and_shape() -> None:
    shown = render.tiles_html(pool(containers=containers(busy=1, idle=1, booting=1, draining=1)))
    for sign in ("0 ■ B", "1 □ I", "2 △ S", "3 ◇ D"):
        assert f">{sign}<" in shown


def test_words_of_users_are_escaped() -> None:
    assert "40 pending &lt;b&gt;" in render.dashboard_html(_history())
    assert "<b> →" not in render.dashboard_html(_history())


def test_band_buffer_and_marks_are_drawn() -> None:
    history = _history()
    [seen] = history.shown()
    drawn = charts.containers_svg(seen, history.pools[seen.pool_id], "key")
    assert drawn.count('class="modalnb-band"') == 1
    assert 'fill="url(#modalnb-hatch-key)"' in drawn
    assert "cold start: cold start" in drawn
    assert "died: killed by signal 9" in drawn
    assert {f"modalnb-{state}" for state in ("busy", "idle", "booting")} <= set(
        re.findall(r"modalnb-\w+", drawn)
    )


def test_axis_fits_what_was_there_and_near_bounds() -> None:
    history = _history()
    rows = list(next(iter(history.pools.values())).ring.rows)
    highest = max(charts.present(row) for row in rows)
    assert highest <= charts.containers_top(rows) <= 2 * highest
    far = [row._replace(maximum=1000) for row in rows]
    assert charts.containers_top(far) <= 2 * highest


@pytest.mark.parametrize(("seconds", "step"), [(30, 5), (700, 120), (90_000, 14_400)])
def test_time_axis_tells_the_time_of_day(seconds: int, step: int) -> None:
    history = History()
    history.clock = 1_700_000_000.5
    for at in (10.0, 10.0 + seconds):
        history.add(app(pool(at, pending=int(at))))
    rows = list(next(iter(history.pools.values())).ring.rows)
    shown = re.findall(r">(\d\d):(\d\d):(\d\d)<", charts.time_axis_svg(rows, history.clock))
    times = [int(h) * 3600 + int(m) * 60 + int(s) for h, m, s in shown]
    assert 5 <= len(times) <= 7
    assert {(b - a) % 86_400 for a, b in itertools.pairwise(times)} == {step}
    assert {t % step for t in times} == {0}


def test_charts_without_anything_to_show_are_left_out() -> None:
    history = _history(wait_p50=None, wait_p95=None, containers=())
    shown = render.dashboard_html(history)
    assert "throughput" in shown
    assert "wait for a container" not in shown
    assert "memory" not in shown


def test_limits_are_amber_from_eighty_percent_on() -> None:
    low = Gauge(name="pending inputs", current=1599, maximum=2000)
    high = Gauge(name="inputs in total", current=20_000, maximum=25_000)
    shown = render.gauges_html(pool(gauges=(low, high)))
    assert "⚠ inputs in total 20,000 of 25,000" in shown
    assert "⚠ pending" not in shown
    assert shown.count("modalnb-amber") == 1
    assert "limit      inputs in total" in text.dashboard_text(_history(gauges=(low, high)))


def test_settings_tell_declared_override_and_in_force() -> None:
    shown = render.settings_html(pool(settings={"max_containers": 4}))
    cells = re.findall(r"<td>(.*?)</td>", shown)
    assert cells[4:8] == ["max containers", "unlimited", "4", "4"]
    assert cells[:4] == ["min containers", "0", "–", "0"]


def test_no_gpu_is_a_sentence_and_no_chart() -> None:
    assert render.NO_GPU in render.dashboard_html(_history())
    assert render.NO_GPU in text.dashboard_text(_history())


def test_driver_that_is_silent_is_told_where_there_would_be_devices() -> None:
    seen = _history()
    assert seen.latest is not None
    silence = ("box: the NVIDIA driver has not answered for 2 s",)
    seen.latest = replace(seen.latest, device_errors=silence)
    for shown in (render.dashboard_html(seen), text.dashboard_text(seen)):
        assert "No GPU is known: box: the NVIDIA driver has not answered for 2 s." in shown
        assert render.NO_GPU not in shown


def test_devices_tell_their_use_or_their_error() -> None:
    devices = (
        DeviceStats(
            host="box",
            index=0,
            uuid="a",
            name="L40S",
            utilization=37.4,
            memory_used=2**30,
            memory_total=48 * 2**30,
            container_id="ap-f-1",
        ),
        DeviceStats(host="box", index=1, uuid="b", name="L40S", error="GPU is lost"),
    )
    shown = render.dashboard_html(_history(devices=devices))
    for words in ("37 %", "1,024 MiB of 48.0 GiB", "ap-f-1", "GPU is lost"):
        assert words in shown
        assert words in text.dashboard_text(_history(devices=devices))
    assert render.NO_GPU not in shown


def test_batch_sizes_are_bars_where_there_are_batches() -> None:
    assert render.batches_html(pool(max_batch_size=1, batch_sizes=((1, 5),))) == ""
    shown = render.batches_html(pool(max_batch_size=8, batch_sizes=((8, 40), (1, 10))))
    assert re.findall(r"height:(\d+)px", shown) == ["7", "28"]
    assert "40 batches of 8" in shown


def test_many_containers_are_counted_after_the_first() -> None:
    shown = render.tiles_html(pool(containers=containers(busy=render.MAX_TILES + 7)))
    assert shown.count("modalnb-tile") == render.MAX_TILES
    assert "and 7 more" in shown


def test_picture_of_a_full_history_stays_small() -> None:
    history = History()
    for at in range(3000):
        history.add(app(pool(float(at), pending=at * 7 % 13, done=at * 3, wait_p95=at % 7)))
    assert len(render.dashboard_html(history)) < 100_000


def test_nothing_seen_is_said() -> None:
    assert "Nothing has been seen yet" in render.dashboard_html(History())
    assert text.dashboard_text(History()) == "Nothing has been seen yet."
    empty = History()
    empty.add(app(at=1.0))
    assert "no functions yet" in render.dashboard_html(empty)


def test_text_tells_the_same_in_lines() -> None:
    shown = text.dashboard_text(_history(), rate=1.0)
    for words in (
        "App app",
        "f: 4 containers: 3 busy, 1 idle",
        "up to 4",
        "want 4",
        "max containers 4*",
    ):
        assert words in shown


@pytest.mark.parametrize(
    ("points", "drawn"),
    [
        ([(0.0, 3)], "█ up to 3"),
        ([(0.0, 0), (10.0, 0)], " " * text.SPARK_WIDTH + " up to 0"),
    ],
)
def test_spark_of_few_points(points: list[tuple[float, int]], drawn: str) -> None:
    assert text.spark(points) == drawn


def test_spark_holds_each_value_until_the_next() -> None:
    drawn = text.spark([(0.0, 8), (20.0, 1), (40.0, 0)])
    assert drawn[:20] == "█" * 20
    assert set(drawn[21:39]) == {"▁"}
