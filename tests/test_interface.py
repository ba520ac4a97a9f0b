"""Instances get a value of the right type for each parameter, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from modalnb.exception import InvalidError
from modalnb.interface import MAX_PARAMETER_BYTES, Interface, MethodFacts, ParameterFacts

INTERFACE = Interface(
    is_class=True,
    methods=(MethodFacts(name="predict"), MethodFacts(name="stream", is_generator=True)),
    parameters=(
        ParameterFacts(name="size", kind="str"),
        ParameterFacts(name="depth", kind="int", has_default=True, default=3),
    ),
)


def test_bind_fills_defaults_in_the_order_of_declaration() -> None:
    assert INTERFACE.bind("Model", {"size": "s"}) == (("size", "s"), ("depth", 3))
    assert INTERFACE.bind("Model", {"depth": 4, "size": "s"}) == (("size", "s"), ("depth", 4))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"size": 1}, "Parameter `size` of `Model` must be of type str; got 1."),
        ({"size": "s", "depth": True}, "Parameter `depth` of `Model` must be of type int"),
        ({"size": "s", "depth": None}, "must be of type int; got None."),
        ({}, r"Model\(\) needs the parameter `size`; it has no default."),
        ({"size": "s", "width": 1}, "unexpected keyword argument 'width'; its parameters are"),
    ],
)
def test_bind_refuses_what_does_not_fit(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        INTERFACE.bind("Model", given)


def test_bind_counts_all_parameters_together() -> None:
    room = MAX_PARAMETER_BYTES - len("size") - len("depth") - 1
    assert INTERFACE.bind("Model", {"size": "x" * room})
    with pytest.raises(InvalidError, match="take 16,385 bytes; at most 16,384"):
        INTERFACE.bind("Model", {"size": "x" * (room + 1)})
    with pytest.raises(InvalidError, match="at most"):
        INTERFACE.bind("Model", {"size": "ä" * (room // 2 + 1)})


def test_interface_travels_as_plain_values() -> None:
    assert Interface.from_dict(INTERFACE.to_dict()) == INTERFACE


def test_method_is_found_by_name() -> None:
    stream = INTERFACE.method("stream")
    assert stream is not None
    assert stream.is_generator
    assert INTERFACE.method("nothing") is None
