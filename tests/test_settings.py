from __future__ import annotations

import math
from typing import Any

import pytest

from modalnb.exception import InvalidError
from modalnb.settings import (
    DEFAULT_SCALEDOWN_WINDOW,
    AutoscalerSettings,
    FunctionSettings,
    checked_override,
)


def test_defaults_are_those_of_modal() -> None:
    assert AutoscalerSettings().to_dict() == {
        "min_containers": 0,
        "max_containers": None,
        "buffer_containers": 0,
        "scaledown_window": DEFAULT_SCALEDOWN_WINDOW,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_containers": -1}, "`min_containers` must be at least 0; got -1. Give 0 or more."),
        (
            {"min_containers": True},
            "`min_containers` must be an int; got True. Give a whole number.",
        ),
        ({"min_containers": 1.5}, "`min_containers` must be an int; got 1.5. Give a whole number."),
        ({"max_containers": 0}, "`max_containers` must be at least 1; got 0. Give 1 or more."),
        ({"max_containers": "2"}, "`max_containers` must be an int; got '2'. Give a whole number."),
        (
            {"buffer_containers": -2},
            "`buffer_containers` must be at least 0; got -2. Give 0 or more.",
        ),
        (
            {"min_containers": 3, "max_containers": 2},
            "`min_containers` (3) cannot be greater than `max_containers` (2). "
            "Raise `max_containers` with it.",
        ),
        (
            {"scaledown_window": 3601},
            "`scaledown_window` must be between 0 and 3600 seconds; got 3601. "
            "Give a number in that range.",
        ),
        (
            {"scaledown_window": math.nan},
            "`scaledown_window` must be between 0 and 3600 seconds; got nan. "
            "Give a number in that range.",
        ),
        (
            {"scaledown_window": "1m"},
            "`scaledown_window` must be a number of seconds; got '1m'. Give an int or a float.",
        ),
        (
            {"scaledown_window": False},
            "`scaledown_window` must be a number of seconds; got False. Give an int or a float.",
        ),
    ],
)
def test_autoscaler_settings_name_parameter_rule_and_value(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidError) as failure:
        AutoscalerSettings(**values)
    assert str(failure.value) == message


@pytest.mark.parametrize("window", [0, 0.5, 2, 3600])
def test_scaledown_window_may_be_short_and_fractional(window: float) -> None:
    assert AutoscalerSettings(scaledown_window=window).scaledown_window == window


@pytest.mark.parametrize("value", [False, 0.0])
def test_override_takes_only_an_int_for_no_limit(value: object) -> None:
    with pytest.raises(InvalidError, match="must be an int"):
        checked_override({"max_containers": value})


def test_override_changes_only_what_it_names() -> None:
    static = AutoscalerSettings(min_containers=1, max_containers=5)
    override = checked_override({"min_containers": None, "max_containers": 7})
    assert override == {"max_containers": 7}
    assert static.with_override(override) == AutoscalerSettings(min_containers=1, max_containers=7)


def test_override_with_zero_lifts_the_maximum() -> None:
    override = checked_override({"max_containers": 0})
    assert override == {"max_containers": None}
    assert AutoscalerSettings(max_containers=5).with_override(override).max_containers is None


def test_override_is_checked_value_by_value_and_then_as_a_whole() -> None:
    with pytest.raises(InvalidError, match="`buffer_containers` must be at least 0; got -1"):
        checked_override({"buffer_containers": -1})
    override = checked_override({"min_containers": 9})
    with pytest.raises(InvalidError, match="cannot be greater than"):
        AutoscalerSettings(max_containers=5).with_override(override)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_inputs": 0}, "`max_inputs` must be at least 1; got 0. Give 1 or more."),
        ({"target_inputs": 0}, "`target_inputs` must be at least 1; got 0. Give 1 or more."),
        (
            {"max_inputs": 2, "target_inputs": 3},
            "`target_inputs` (3) cannot be greater than `max_inputs` (2). "
            "Raise `max_inputs` with it.",
        ),
        ({"cpu": "2"}, "`cpu` must be a number of cores; got '2'. Give an int or a float."),
        ({"cpu": True}, "`cpu` must be a number of cores; got True. Give an int or a float."),
        ({"cpu": 0}, "`cpu` must be above 0 cores; got 0. Without it, use is measured."),
        ({"cpu": math.inf}, "`cpu` must be above 0 cores; got inf. Without it, use is measured."),
    ],
)
def test_function_settings_name_parameter_rule_and_value(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidError) as failure:
        FunctionSettings(**values)
    assert str(failure.value) == message


def test_function_settings_travel_as_plain_values() -> None:
    settings = FunctionSettings(
        autoscaler=AutoscalerSettings(min_containers=1), max_inputs=4, target_inputs=2, cpu=0.5
    )
    assert FunctionSettings.from_dict(settings.to_dict()) == settings
