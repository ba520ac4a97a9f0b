"""No event costs more when more is queued."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.settings import FunctionSettings, Limits


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


def cost_with_queue(calls: int, inputs: int) -> dict[str, int]:
    """What each kind of event costs while so many calls of so many inputs wait."""
    ledger = Ledger(Limits(pending=10**6, total=10**6))
    ledger.handle(ev.PoolDefined(pool_id="a/f", settings=FunctionSettings()), 0.0)
    for n in range(4):
        ledger.handle(ev.ContainerReady(container_id=f"c{n}", pool_id="a/f"), 0.0)

    def put(call_id: str) -> ev.Event:
        return ev.InputsPut(
            caller=call_id,
            call_id=call_id,
            pool_id="a/f",
            code="code",
            start=0,
            payloads=[b"x"] * inputs,
        )

    def output(name: str) -> ev.Event:
        lease = next(iter(ledger.containers[name].leases))
        return ev.OutputsReturned(container_id=name, outputs=[(lease, "ok", b"", 1.0)])

    for n in range(calls):
        ledger.handle(put(f"call-{n}"), 0.0)
    events = {
        "output": output("c1"),
        "put": put("last"),
        "cancel": ev.CallCancelled(call_id=f"call-{calls - 1}"),
        "caller gone": ev.CallerGone(caller=f"call-{calls - 2}"),
        "lost": ev.ContainerLost(container_id="c2", story="signal 9"),
        "ready": ev.ContainerReady(container_id="new", pool_id="a/f"),
        "drain": ev.DrainAsked(container_ids=("c3",)),
        "tick": ev.Tick(),
    }
    return {
        name: calls_made(functools.partial(ledger.handle, event, 0.0))
        for name, event in events.items()
    }


def test_every_event_costs_the_same_whatever_is_queued() -> None:
    few = cost_with_queue(10, 5)
    many_calls = cost_with_queue(20_000, 5)
    many_inputs = cost_with_queue(10, 10_000)
    # A put costs by what it puts, and a cancelled call by what it has waiting.
    del many_inputs["put"], many_inputs["cancel"], many_inputs["caller gone"]
    for many in (many_calls, many_inputs):
        assert {name: abs(cost - few[name]) > 5 for name, cost in many.items()} == dict.fromkeys(
            many, False
        )
