from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.core.admission import Admission, admit
from modalnb.core.events import CallKind
from modalnb.settings import Limits

LIMITS = Limits(pending=10, total=15, pending_spawns=100)


def ask(
    asked: int,
    *,
    kind: CallKind = "live",
    waiting: int = 0,
    waiting_durable: int = 0,
    leased: int = 0,
) -> Admission:
    return admit(
        asked,
        kind=kind,
        waiting=waiting,
        waiting_durable=waiting_durable,
        leased=leased,
        limits=LIMITS,
    )


@pytest.mark.parametrize(
    ("asked", "waiting", "leased", "expected"),
    [
        (4, 6, 0, Admission(admitted=4, limit="pending inputs", current=10, maximum=10)),
        (5, 6, 0, Admission(admitted=4, limit="pending inputs", current=10, maximum=10)),
        (1, 10, 0, Admission(admitted=0, limit="pending inputs", current=10, maximum=10)),
        (5, 2, 12, Admission(admitted=1, limit="inputs in total", current=15, maximum=15)),
        (5, 5, 5, Admission(admitted=5, limit="pending inputs", current=10, maximum=10)),
    ],
)
def test_admit_live_up_to_the_nearest_limit(
    asked: int, waiting: int, leased: int, expected: Admission
) -> None:
    assert ask(asked, waiting=waiting, leased=leased) == expected


def test_admit_durable_counts_only_waiting_durable_inputs() -> None:
    full = {"waiting": 10, "leased": 5}
    assert ask(3, kind="durable", waiting_durable=97, **full).admitted == 3
    refused = ask(3, kind="durable", waiting_durable=98, **full)
    assert refused == Admission(
        admitted=2, limit="pending spawned inputs", current=100, maximum=100
    )


def test_admit_after_losses_filled_the_queue_beyond_its_limit() -> None:
    admission = ask(1, waiting=12)
    assert (admission.admitted, admission.current) == (0, 12)


@given(*[st.integers(0, 30)] * 4, st.sampled_from(["live", "durable"]))
def test_admit_never_more_than_asked_nor_beyond_a_limit(
    asked: int, waiting: int, durable: int, leased: int, kind: CallKind
) -> None:
    admission = ask(asked, kind=kind, waiting=waiting, waiting_durable=durable, leased=leased)
    assert 0 <= admission.admitted <= asked
    if admission.admitted:
        assert admission.current <= admission.maximum
    if admission.admitted < asked:
        assert admission.current >= admission.maximum
