"""Section 1: parameters of ``@app.function`` beside those of the autoscaler."""

from __future__ import annotations

from typing import Any

import pytest

import modalnb as modal
from modalnb.exception import InvalidError, UnsupportedWarning


def _tick() -> int:
    return 1


def _needs(x: int, *, y: int = 1) -> int:
    return x


# -- schedule ------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [modal.Cron("0 9 * * 1"), modal.Period(days=1, seconds=0.5)])
def test_schedule_is_accepted_with_one_warning_that_nothing_fires_yet(schedule: Any) -> None:
    with pytest.warns(UnsupportedWarning, match="nothing runs by itself yet") as caught:
        modal.App().function(schedule=schedule)(_tick)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore::modalnb.exception.UnsupportedWarning")
def test_schedule_of_a_function_with_required_arguments_is_refused() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match="`schedule` runs `_needs` without arguments"):
        app.function(schedule=modal.Period(days=1))(_needs)
    app.function(name="a", schedule=modal.Period(days=1))(lambda x=1, *args, **kwargs: x)


@pytest.mark.parametrize("schedule", ["0 9 * * 1", 5])
def test_schedule_of_another_type_is_refused(schedule: Any) -> None:
    with pytest.raises(InvalidError, match="`schedule` must be a `Cron` or a `Period`"):
        modal.App().function(schedule=schedule)


@pytest.mark.parametrize("text", ["", "0 9 * *", "60 * * * *", "0 0 31 2 *", "* * * * * *", "x"])
def test_cron_text_must_be_a_crontab(text: str) -> None:
    with pytest.raises(InvalidError, match="`cron_string` must be a crontab such as"):
        modal.Cron(text)


@pytest.mark.parametrize("timezone", ["Mars/Base", "", "../etc/passwd"])
def test_cron_timezone_must_exist(timezone: str) -> None:
    with pytest.raises(InvalidError, match="`timezone` must be one such as"):
        modal.Cron("* * * * *", timezone=timezone)


def test_cron_takes_texts_only() -> None:
    with pytest.raises(InvalidError, match="`cron_string` must be a str; got 5"):
        modal.Cron(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="`timezone` must be a str; got None"):
        modal.Cron("* * * * *", timezone=None)  # type: ignore[arg-type]
    assert repr(modal.Cron("* * * * *", "Europe/Berlin")) == (
        "Cron('* * * * *', timezone='Europe/Berlin')"
    )


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"days": 1.5}, "`days` must be an int; got 1.5"),
        ({"hours": True}, "`hours` must be an int; got True"),
        ({"seconds": "1"}, "`seconds` must be a number; got '1'"),
        ({"minutes": -1}, "`minutes` must be at least 0; got -1"),
        ({"seconds": float("inf")}, "`seconds` must be at least 0; got inf"),
        ({}, "must be longer than nothing"),
    ],
)
def test_period_is_a_positive_span(parts: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        modal.Period(**parts)


# -- single use ----------------------------------------------------------------------------


def test_max_inputs_of_one_is_the_old_name_of_single_use_containers() -> None:
    with pytest.warns(DeprecationWarning, match="is now `single_use_containers=True`") as caught:
        old: Any = modal.App().function(max_inputs=1)(_tick)
    assert caught[0].filename == __file__
    new: Any = modal.App().function(single_use_containers=True)(_tick)
    assert old._settings == new._settings
    assert new._settings.single_use


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "`max_inputs` must be at least 1; got 0"),
        (2, "Only `max_inputs=1` is possible; got 2"),
        (True, "`max_inputs` must be an int; got True"),
    ],
)
def test_max_inputs_is_one_or_nothing(value: Any, text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        modal.App().function(max_inputs=value)


def test_single_use_containers_is_a_bool() -> None:
    with pytest.raises(InvalidError, match="`single_use_containers` must be a bool; got 1"):
        modal.App().function(single_use_containers=1)  # type: ignore[arg-type]


# -- others --------------------------------------------------------------------------------


def test_serialized_asks_for_what_is_always_so(app: modal.App) -> None:
    @app.function(serialized=True)
    def local() -> int:
        return 5

    assert local.remote() == 5
    with pytest.raises(InvalidError, match="`serialized` must be a bool; got 'yes'"):
        modal.App().function(serialized="yes")


def test_is_generator_is_inspected_unless_it_is_given() -> None:
    def elements() -> Any:
        return iter([1])

    app = modal.App()
    with pytest.raises(InvalidError, match="remote_gen"):
        app.function(is_generator=True)(elements).remote()
    with pytest.raises(InvalidError, match="is no generator"):
        app.function(name="other")(elements).remote_gen()
    with pytest.raises(InvalidError, match="`is_generator` must be a bool or None; got 1"):
        app.function(is_generator=1)(elements)  # type: ignore[arg-type]


def test_memory_snapshots_are_accepted_without_effect() -> None:
    modal.App().function(enable_memory_snapshot=False)(_tick)
    with pytest.warns(UnsupportedWarning, match="`enable_memory_snapshot` has no effect"):
        modal.App().function(enable_memory_snapshot=True)(_tick)


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "Model(size=1)", "f[cpu=1]", 5])
def test_name_has_no_marks_of_variants(name: Any) -> None:
    with pytest.raises(InvalidError, match="`name` must be a str without"):
        modal.App().function(name=name)(_tick)
