"""Containers that can say that nothing in them is overdue are believed; silent ones are ended."""

from __future__ import annotations

import pytest

from modalnb.core import events as ev
from modalnb.core.leasing import OVERDUE_GRACE
from modalnb.core.ledger import Ledger
from modalnb.settings import FunctionSettings

TIMEOUT = 10.0


@pytest.fixture
def ledger() -> Ledger:
    """One container that got one input at time 0."""
    ledger = Ledger()
    settings = FunctionSettings(timeout=TIMEOUT)
    ledger.handle(ev.PoolDefined(pool_id="p", settings=settings), 0.0)
    ledger.handle(ev.ContainerReady(container_id="c", pool_id="p"), 0.0)
    put = ev.InputsPut(
        caller="alice", call_id="a", pool_id="p", code="code", start=0, payloads=[b"x"]
    )
    ledger.handle(put, 0.0)
    return ledger


def timed_out(ledger: Ledger, now: float) -> bool:
    """Whether looking at the ledger now ends the container, and its input with it."""
    done = ledger.handle(ev.Tick(), now)
    kills = [one for one in done if isinstance(one, ev.KillContainer)]
    outputs = [one.outputs for one in done if isinstance(one, ev.DeliverOutputs)]
    assert bool(kills) == bool(outputs)
    return bool(kills)


def in_time(ledger: Ledger, now: float, seconds: float) -> None:
    assert not ledger.handle(ev.ContainerInTime(container_id="c", seconds=seconds), now)


def test_silent_container_is_ended(ledger: Ledger) -> None:
    assert not timed_out(ledger, TIMEOUT + OVERDUE_GRACE - 0.1)
    assert timed_out(ledger, TIMEOUT + OVERDUE_GRACE)


def test_container_that_still_imports_code_is_waited_for(ledger: Ledger) -> None:
    for n in range(1, 5):
        in_time(ledger, n * TIMEOUT, 0.0)
        assert not timed_out(ledger, n * TIMEOUT + OVERDUE_GRACE)
    assert timed_out(ledger, 5 * TIMEOUT + OVERDUE_GRACE)


def test_container_that_began_late_is_ended_when_its_input_is_overdue(ledger: Ledger) -> None:
    in_time(ledger, TIMEOUT, 4.0)
    assert not timed_out(ledger, 2 * TIMEOUT - 4.0 + OVERDUE_GRACE - 0.1)
    assert timed_out(ledger, 2 * TIMEOUT - 4.0 + OVERDUE_GRACE)


def test_word_that_is_old_or_of_nobody_changes_nothing(ledger: Ledger) -> None:
    in_time(ledger, 1.0, 5.0)
    ledger.handle(ev.ContainerInTime(container_id="nobody", seconds=0.0), 5.0)
    assert timed_out(ledger, TIMEOUT + OVERDUE_GRACE)
    ledger.handle(ev.ContainerLost(container_id="c", story="killed"), 20.0)
    in_time(ledger, 20.0, 0.0)
