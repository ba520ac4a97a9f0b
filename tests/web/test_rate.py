"""The rate limit, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.web.rate import BURST_SECONDS, Meter, Rate


@given(
    per_second=st.floats(0.5, 500),
    steps=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200),
)
def test_no_stretch_of_time_admits_more_than_its_share(
    per_second: float, steps: list[float]
) -> None:
    rate, now, admitted = Rate(per_second), 100.0, []
    for step in steps:
        now += step
        if rate.admit(now) == 0:
            admitted.append(now)
    burst = max(1.0, per_second * BURST_SECONDS)
    for start in admitted[:20]:
        inside = [time for time in admitted if start <= time]
        assert len(inside) <= burst + (inside[-1] - start) * per_second + 1


@given(per_second=st.floats(0.5, 500), tries=st.integers(0, 3000))
def test_who_waits_as_told_is_admitted(per_second: float, tries: int) -> None:
    rate = Rate(per_second)
    for _ in range(tries):
        rate.admit(5.0)
    wait = rate.admit(5.0)
    assert rate.admit(5.0 + wait + 1e-6) == 0 or wait == 0


def test_burst_is_five_seconds_worth() -> None:
    rate = Rate(200)
    admitted = sum(rate.admit(1.0) == 0 for _ in range(2000))
    assert admitted == 1000


def test_zero_is_no_limit() -> None:
    rate = Rate(0)
    assert not any(rate.admit(1.0) for _ in range(10_000))


def test_meter_tells_now_and_then_how_many_requests_a_second_there_were() -> None:
    meter = Meter()
    meter.count(100.0)
    told = [rate for n in range(1, 101) if (rate := meter.count(100 + n / 50)) is not None]
    assert told == [pytest.approx(50)] * 4
