"""Whatever a container is sent, it goes on: its threads live, and the next input is answered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modalnb import messages as m
from modalnb.guarding import checked
from modalnb.payload import code, envelope
from tests.conftest import wait_until
from tests.runtime.test_container import Bench
from tests.wrong_fields import fields_of, leases, numbers, payloads

DOUBLE = code.define(lambda x: 2 * x, "double")
#: Leases of the inputs that are asked for in between.
LEASES = itertools.count(1_000)

codes = st.sampled_from([DOUBLE.code, f"{DOUBLE.code}#method", "no-such-code"])
jobs = st.tuples(numbers, st.sampled_from(["fc-1", "fc-2"]), numbers, codes, payloads)
ORDERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    m.CONFIGURE: {"max_inputs": st.integers(1, 4), "timeout": st.floats(0, 300)},
    m.PREPARE: {"code": codes, "init": st.none() | payloads},
    m.CODE: {"code": st.sampled_from(["code-1", "code-2"]), "blob": payloads},
    m.RUN: {"inputs": st.lists(jobs, max_size=4)},
    m.BATCH: {"inputs": st.lists(jobs, max_size=4)},
    m.RECALL: {"leases": leases},
    m.STOP: {"leases": leases},
    m.TAKEN: {"lease": numbers, "taken": numbers},
}
orders = st.lists(
    st.sampled_from(sorted(ORDERS)).flatmap(
        lambda op: st.tuples(st.just(op), fields_of(ORDERS[op]))
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def _hear(bench: Bench, op: str, fields: dict[str, Any]) -> None:
    bench.on_loop(lambda: checked(bench.container.handlers[op])(**fields))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(steps=orders)
def test_container_answers_the_next_input_whatever_came_before(
    bench: Bench, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    for op, fields in steps:
        _hear(bench, op, fields)
    lease = next(LEASES)
    job = (lease, "fc-9", 0, DOUBLE.code, envelope.pack(((21,), {}), None))
    _hear(bench, m.CONFIGURE, {"max_inputs": 1, "timeout": 300.0})
    _hear(bench, m.CODE, {"code": DOUBLE.code, "blob": DOUBLE.blob})
    _hear(bench, m.RUN, {"inputs": [job]})
    wait_until(lambda: (lease, "ok") in bench.outputs(), seconds=10)
    bench.sent.clear()
