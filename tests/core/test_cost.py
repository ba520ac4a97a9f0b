"""No event costs more when more is queued."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import pytest

from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.settings import BatchSettings, FunctionSettings, Limits, Retries


def calls_made(work: Callable[[], object]) -> int:
    """How many functions, also built-in ones, `work` calls: its cost without a clock."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def put_of(call_id: str, inputs: int) -> ev.Event:
    return ev.InputsPut(
        caller=call_id,
        call_id=call_id,
        pool_id="a/f",
        code="code",
        start=0,
        payloads=[b"x"] * inputs,
    )


def ended(ledger: Ledger, name: str, status: ev.Status = "ok") -> ev.Event:
    """The first input of a container has ended, or its batch."""
    leases = list(ledger.containers[name].leases)
    batch = ledger.pools["a/f"].settings.batch
    count = len(leases) if batch else 1
    return ev.OutputsReturned(
        container_id=name, outputs=[(lease, status, b"", 1.0) for lease in leases[:count]]
    )


def ledger_with_queue(settings: FunctionSettings, calls: int, inputs: int) -> Ledger:
    ledger = Ledger(Limits(pending=10**6, total=10**6))
    ledger.handle(ev.PoolDefined(pool_id="a/f", settings=settings), 0.0)
    for n in range(5):
        ledger.handle(ev.ContainerReady(container_id=f"c{n}", pool_id="a/f"), 0.0)
    for n in range(calls):
        ledger.handle(put_of(f"call-{n}", inputs), 0.0)
    return ledger


def cost_with_queue(settings: FunctionSettings, calls: int, inputs: int) -> dict[str, int]:
    """What each kind of event costs while so many calls of so many inputs wait."""
    ledger = ledger_with_queue(settings, calls, inputs)
    overdue = tuple(ledger.containers["c4"].leases)
    events = {
        "output": ended(ledger, "c1"),
        "failure": ended(ledger, "c0", "error"),
        "put": put_of("last", inputs),
        "cancel": ev.CallCancelled(call_id=f"call-{calls - 1}"),
        "caller gone": ev.CallerGone(caller=f"call-{calls - 2}"),
        "overdue": ev.LeasesOverdue(container_id="c4", leases=overdue),
        "lost": ev.ContainerLost(container_id="c2", story="signal 9"),
        "ready": ev.ContainerReady(container_id="new", pool_id="a/f"),
        "drain": ev.DrainAsked(container_ids=("c3",)),
        "tick": ev.Tick(),
    }
    return {
        name: calls_made(functools.partial(ledger.handle, event, 0.0))
        for name, event in events.items()
    }


def assert_as_cheap(many: dict[str, int], few: dict[str, int]) -> None:
    """Some calls more or less, as a call runs out of inputs or does not."""
    dearer = {name: (few[name], cost) for name, cost in many.items() if cost > few[name] + 5}
    assert dearer == {}


RETRIES = Retries(max_retries=1, initial_delay=1.0)


@pytest.mark.parametrize(
    "settings",
    [
        FunctionSettings(retries=RETRIES),
        FunctionSettings(retries=RETRIES, batch=BatchSettings(max_batch_size=4, wait_ms=100)),
    ],
    ids=["single", "batched"],
)
def test_every_event_costs_the_same_whatever_is_queued(settings: FunctionSettings) -> None:
    few = cost_with_queue(settings, 50, 5)
    many_calls = cost_with_queue(settings, 20_000, 5)
    many_inputs = cost_with_queue(settings, 50, 2_000)
    # A put costs by what it puts, and a cancelled call by what it has waiting.
    del many_inputs["put"], many_inputs["cancel"], many_inputs["caller gone"]
    for many in (many_calls, many_inputs):
        assert_as_cheap(many, few)


def cost_with_retries(count: int) -> dict[str, int]:
    """What each kind of event costs while so many inputs wait for their next attempt."""
    ledger = ledger_with_queue(FunctionSettings(retries=RETRIES), 4, count)
    for n in range(count - 10):
        ledger.handle(ended(ledger, "c0", "error"), n / count)
    events = {
        "failure": ended(ledger, "c1", "error"),
        "output": ended(ledger, "c1"),
        "put": put_of("last", 1),
        "cancel": ev.CallCancelled(call_id="last"),
    }
    costs = {
        name: calls_made(functools.partial(ledger.handle, event, 0.999))
        for name, event in events.items()
    }
    costs["wake"] = calls_made(functools.partial(ledger.wake_at, 0.999))
    costs["retry"] = calls_made(functools.partial(ledger.handle, ev.Tick(), 1.0))
    return costs


def test_every_event_costs_the_same_however_many_inputs_wait_for_a_retry() -> None:
    few, many = cost_with_retries(100), cost_with_retries(5_000)
    assert_as_cheap(many, few)
