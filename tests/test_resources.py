from __future__ import annotations

from typing import Any

import pytest

from modalnb.exception import InvalidError
from modalnb.resources import fields_of, gpu_wishes
from modalnb.settings import FunctionSettings


def declared(**values: Any) -> dict[str, Any]:
    return {key: field for name in values for key, field in fields_of(name, values[name]).items()}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ([], ()),
        ("l40s", ("L40S",)),
        ("H100:2", ("H100:2",)),
        ("h100:1", ("H100",)),
        ("H100!", ("H100!",)),
        ("B200+:8", ("B200+:8",)),
        ("any", ("ANY",)),
        (["H100:2", "a100-80gb", "any"], ("H100:2", "A100-80GB", "ANY")),
        ("RTX PRO 6000", ("RTX PRO 6000",)),
        ("MIG-1g.5gb", ("MIG-1G.5GB",)),
    ],
)
def test_gpu_wishes_are_upper_case_and_ranked(value: Any, expected: tuple[str, ...]) -> None:
    assert gpu_wishes(value) == expected
    assert gpu_wishes(expected) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"gpu": 3},
            "`gpu` must be a string or None, or a list of strings; got 3. Write the type and, if "
            'need be, how many: "L40S", "H100:2", "any".',
        ),
        (
            {"gpu": ["T4", None]},
            "`gpu` must be a string or None, or a list of strings; got None. Write the type and, "
            'if need be, how many: "L40S", "H100:2", "any".',
        ),
        (
            {"gpu": ""},
            "`gpu` must name a type of device; got ''. "
            'Write for instance "L40S", "H100:2" or "any".',
        ),
        (
            {"gpu": "H100:two"},
            "The count of `gpu` must be an integer; got 'H100:TWO'. "
            'Write "H100:2" for two devices in each container.',
        ),
        (
            {"gpu": "H100:"},
            "The count of `gpu` must be an integer; got 'H100:'. "
            'Write "H100:2" for two devices in each container.',
        ),
        (
            {"gpu": "H100:0"},
            "The count of `gpu` must be at least 1; got 'H100:0'. Use `gpu=None`.",
        ),
        (
            {"cpu": (2, 1)},
            "`cpu` limit (1) cannot be less than its request (2). Give them as (request, limit).",
        ),
        (
            {"cpu": (1, "2")},
            "`cpu` limit must be a number of cores; got '2'. Give an int or a float.",
        ),
        (
            {"cpu": (1, 2, 3)},
            "`cpu` must be a number or a (request, limit) pair; got (1, 2, 3). Give two numbers.",
        ),
        (
            {"memory": "1Gi"},
            "`memory` must be an int of MiB; got '1Gi'. "
            "Give a whole number, such as 1024 for one GiB.",
        ),
        (
            {"memory": True},
            "`memory` must be an int of MiB; got True. "
            "Give a whole number, such as 1024 for one GiB.",
        ),
        ({"memory": 0}, "`memory` must be at least 1 MiB; got 0. Give 1 or more."),
        (
            {"memory": (512, 256)},
            "`memory` limit (256) cannot be less than its request (512). "
            "Give them as (request, limit).",
        ),
    ],
)
def test_resources_name_parameter_rule_and_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as failure:
        FunctionSettings(**declared(**values))
    assert str(failure.value) == message


def test_resources_travel_as_plain_values() -> None:
    settings = FunctionSettings(
        **declared(gpu=["H100:2", "any"], cpu=(0.5, 2), memory=(128, 512)), gpu_fallback=True
    )
    facts = settings.to_dict()
    assert FunctionSettings.from_dict({**facts, "gpu": list(facts["gpu"])}) == settings
    assert (settings.cpu, settings.cpu_limit) == (0.5, 2)
    assert (settings.memory, settings.memory_limit) == (128, 512)


def test_footprint_is_what_a_container_starts_with() -> None:
    assert FunctionSettings().footprint == FunctionSettings(max_inputs=3).footprint
    assert FunctionSettings().footprint != FunctionSettings(gpu=("T4",)).footprint
