"""Numbers as people read them, and settings as code that runs."""

from __future__ import annotations

from typing import Any

import pytest

from modalnb.notebook import words
from modalnb.notebook.spending import Seconds
from modalnb.settings import AutoscalerSettings, checked_override
from modalnb.snapshot import ContainerStats, Gauge
from tests.notebook.samples import containers, pool


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.00 s"),
        (0.064, "0.06 s"),
        (0.996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_seconds_have_as_many_digits_as_matter(value: float | None, text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3.0, "3"), (12345, "12,345"), (0.25, "0.25"), (83.25, "83.2")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert words.number(value) == text


def test_memory_is_in_mib_then_in_gib() -> None:
    assert (words.mebibytes(512), words.mebibytes(20480)) == ("512 MiB", "20.0 GiB")


def test_summary_tells_states_inputs_and_throughput() -> None:
    facts = pool(containers=containers(busy=3, idle=1), pending=1200, running=3, done=5)
    expected = "f: 4 containers: 3 busy, 1 idle; 1,200 pending, 3 running and 5 done inputs"
    assert words.summary(facts, 0.0) == f"{expected}."
    assert words.summary(facts, 8.5) == f"{expected}; 8.5 outputs a second."
    assert words.states(pool()) == "no containers"


def test_idle_container_tells_how_long_it_stays() -> None:
    settings = AutoscalerSettings(scaledown_window=20)
    idle = ContainerStats(container_id="a", state="idle", idle_since=100.0)
    assert words.container_words(idle, settings, 105.0) == "idle, 15 s left"
    assert words.container_words(idle, settings, 500.0) == "idle, 0.00 s left"
    booting = ContainerStats(container_id="b", state="booting", started_at=100.0)
    assert words.container_words(booting, settings, 100.5) == "booting for 0.50 s"
    busy = ContainerStats(container_id="c", state="busy", running=2)
    assert words.container_words(busy, settings, 0.0) == "busy with 2"


def test_cost_names_each_purpose_and_the_sum_at_a_rate() -> None:
    spent = Seconds(busy=3600, idle=90, kept=0, buffer=30)
    text = words.cost(spent, None)
    assert (
        text == "container time 1 h 02 min: busy 1 h 00 min · idle 1 min 30 s · kept as buffer 30 s"
    )
    assert words.cost(spent, 2.0) == f"{text}; ≈ 2.0667 at 2 a container-hour"
    assert words.cost(Seconds(), None) == "container time 0.00 s"


def test_gauge_and_parameters_in_words() -> None:
    gauge = Gauge(name="pending inputs", current=1800, maximum=2000)
    assert words.gauge_words(gauge) == "pending inputs 1,800 of 2,000"
    assert words.parameter("max_containers", None) == "unlimited"
    assert words.parameter("scaledown_window", 2.5) == "2.5 s"
    assert words.parameter("min_containers", 1000) == "1,000"


def _called(code: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two lines of code would be called with."""
    call, declared = code.replace("# or declared: ", "").splitlines()
    seen: dict[str, Any] = {}

    def keep(**values: Any) -> None:
        seen.update(values)

    eval(call.replace("f.update_autoscaler", "keep"), {"keep": keep})
    first, seen = seen, {}
    eval(declared.replace("@app.function", "keep"), {"keep": lambda **values: seen.update(values)})
    return first, seen


@pytest.mark.parametrize(
    "settings",
    [
        {"min_containers": 2, "max_containers": 9},
        {"scaledown_window": 2.5},
        {"max_containers": None, "buffer_containers": 3},
    ],
)
def test_copied_code_makes_the_settings_in_force(settings: dict[str, Any]) -> None:
    static = AutoscalerSettings(max_containers=4)
    facts = pool(settings=settings, static=static)
    called, declared = _called(words.as_code(facts))
    assert static.with_override(checked_override(called)) == facts.settings
    assert AutoscalerSettings(**declared) == facts.settings


def test_copied_code_of_unchanged_settings_names_them_all() -> None:
    called, declared = _called(words.as_code(pool(static=AutoscalerSettings())))
    assert list(called) == list(words.PARAMETERS)
    assert declared == {}
