from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.core.capacity import ASSUMED_CPU, LEAST_CPU, Want, cpu_of, shares


@pytest.mark.parametrize(
    ("requested", "measured", "expected"),
    [
        (4.0, 0.2, 4.0),
        (None, None, ASSUMED_CPU),
        (None, 0.7, 0.7),
        (None, 3.0, 1.0),
        (None, 0.0, LEAST_CPU),
    ],
)
def test_cpu_of_prefers_request_then_bounded_measurement(
    requested: float | None, measured: float | None, expected: float
) -> None:
    assert cpu_of(requested, measured) == expected


@pytest.mark.parametrize(
    ("wants", "cores", "expected"),
    [
        ({"a": (10, 1.0)}, 4, {"a": 4}),
        ({"a": (2, 1.0)}, 4, {"a": 2}),
        ({"a": (10, 1.0), "b": (10, 1.0)}, 4, {"a": 2, "b": 2}),
        ({"a": (30, 1.0), "b": (10, 1.0)}, 8, {"a": 6, "b": 2}),
        ({"a": (0, 1.0), "b": (9, 0.5)}, 2, {"a": 0, "b": 4}),
        # One each, even beyond the cores: a caller must not starve what it waits for.
        ({"a": (9, 4.0), "b": (1, 4.0)}, 2, {"a": 1, "b": 1}),
        # The large one does not fit any more; the small one still does.
        ({"a": (9, 3.0), "b": (9, 0.5)}, 4, {"a": 1, "b": 2}),
        ({}, 4, {}),
    ],
)
def test_shares_go_by_demand(
    wants: dict[str, tuple[int, float]], cores: float, expected: dict[str, int]
) -> None:
    asked = {name: Want(containers=n, cpu=cpu) for name, (n, cpu) in wants.items()}
    assert shares(asked, cores) == expected


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.integers(0, 40), st.sampled_from([0.125, 0.5, 2]))
    ),
    st.floats(0.5, 64),
)
def test_shares_keep_to_wants_and_cores(wants: dict[str, tuple[int, float]], cores: float) -> None:
    asked = {name: Want(containers=n, cpu=cpu) for name, (n, cpu) in wants.items()}
    granted = shares(asked, cores)
    for name, want in asked.items():
        assert min(1, want.containers) <= granted[name] <= want.containers
    first = sum(want.cpu for want in asked.values() if want.containers)
    used = sum(asked[name].cpu * count for name, count in granted.items())
    assert used <= max(cores, first) + 1e-6
    # Nothing is left lying that somebody wants and could use.
    for name, want in asked.items():
        if granted[name] < want.containers:
            assert used + want.cpu > cores - 1e-6
