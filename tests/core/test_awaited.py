"""Inputs that ask for the outputs of spawned calls wait for them, as for live calls."""

from __future__ import annotations

from typing import Any

import pytest

from modalnb.core import events as ev
from modalnb.core import observe
from modalnb.core.invariants import validate
from modalnb.core.ledger import Ledger
from modalnb.settings import FunctionSettings

FULL = frozenset({"p"})


def put(call_id: str, *, kind: ev.CallKind = "durable", caller: str = "alice") -> ev.InputsPut:
    return ev.InputsPut(
        caller=caller, call_id=call_id, pool_id="p", code="c", start=0, payloads=[b"x"], kind=kind
    )


def awaited(call_id: str, *, is_over: bool = False, caller: str = "w") -> ev.CallAwaited:
    """The first input of the call `outer` waits, or waits no more."""
    return ev.CallAwaited(caller=caller, call_id=call_id, by=("outer", 0), is_over=is_over)


@pytest.fixture
def ledger() -> Ledger:
    """One container that executes `outer`; `inner`, of the same function, waits for its end."""
    ledger = Ledger()
    ledger.handle(ev.PoolDefined(pool_id="p", settings=FunctionSettings()), 0.0)
    ledger.handle(ev.ContainerReady(container_id="w", pool_id="p"), 0.0)
    ledger.handle(put("outer"), 0.0)
    ledger.handle(put("inner"), 0.0)
    return ledger


def stalled(ledger: Ledger) -> list[Any]:
    """The inputs that are failed because they wait for themselves, after two looks."""
    validate(ledger)
    ledger.handle(ev.StallChecked(full=FULL), 1.0)
    done = ledger.handle(ev.StallChecked(full=FULL), 2.0)
    return [out[:3] for one in done if isinstance(one, ev.KeepOutputs) for out in one.outputs]


def test_function_that_waits_for_what_it_spawned_is_stalled(ledger: Ledger) -> None:
    assert not stalled(ledger)
    changed = ledger.handle(awaited("inner"), 0.0)
    assert changed == [ev.PoolChanged(pool_id="p")]
    assert stalled(ledger) == [("inner", 0, "stalled")]


def test_container_that_waits_for_a_spawned_call_only_is_blocked(ledger: Ledger) -> None:
    for event, blocked in [(awaited("inner"), 1), (awaited("inner", is_over=True), 0)]:
        ledger.handle(event, 0.0)
        waiting = observe.waiting_inputs(ledger.book.awaited.values())
        assert observe.blocked(ledger.pools["p"], waiting) == blocked


def test_each_wait_ends_by_itself(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.handle(awaited("inner"), 0.0)
    ledger.handle(awaited("inner", is_over=True), 0.0)
    assert ledger.book.awaited
    ledger.handle(awaited("inner", is_over=True), 0.0)
    assert not ledger.book.awaited
    ledger.handle(awaited("inner", is_over=True), 0.0)
    assert not stalled(ledger)


def test_waits_of_a_container_that_is_gone_are_forgotten(ledger: Ledger) -> None:
    ledger.handle(awaited("inner"), 0.0)
    ledger.handle(awaited("inner", caller="another"), 0.0)
    ledger.handle(ev.CallerGone(caller="w"), 0.0)
    assert stalled(ledger) == [("inner", 0, "stalled")]
    ledger.handle(put("again"), 0.0)
    ledger.handle(awaited("again"), 0.0)
    ledger.handle(ev.CallerGone(caller="w"), 0.0)
    assert not stalled(ledger)


def test_word_of_a_call_that_has_ended_changes_nothing(ledger: Ledger) -> None:
    assert not ledger.handle(awaited("gone"), 0.0)
    ledger.handle(awaited("inner"), 0.0)
    ledger.handle(ev.CallCancelled(call_id="inner"), 0.0)
    assert not ledger.book.awaited
    ledger.handle(awaited("inner", is_over=True), 0.0)


@pytest.fixture
def rivals() -> Ledger:
    """Two functions that need the one device: `p` holds it, `q` has an awaited input."""
    ledger = Ledger()
    for name in "pqr":
        ledger.handle(ev.PoolDefined(pool_id=name, settings=FunctionSettings()), 0.0)
    for name in "pr":
        ledger.handle(ev.ContainerReady(container_id=name, pool_id=name), 0.0)
    return ledger


def fails(ledger: Ledger) -> bool:
    """Whether an input of `q`, which lacks what `p` has, is failed after two looks."""
    checked = ev.StallChecked(full=frozenset("q"), rivals={"q": frozenset("p")})
    ledger.handle(checked, 1.0)
    return any(isinstance(one, ev.DeliverOutputs) for one in ledger.handle(checked, 2.0))


def put_to(ledger: Ledger, pool_id: str, call_id: str, parent: str | None = None) -> None:
    ledger.handle(
        ev.InputsPut(
            caller="w:x" if parent else "alice",
            call_id=call_id,
            pool_id=pool_id,
            code="c",
            start=0,
            payloads=[b"x"],
            parent=(parent, 0) if parent else None,
        ),
        0.0,
    )


def test_input_waits_for_the_device_that_a_busy_function_holds(rivals: Ledger) -> None:
    put_to(rivals, "p", "busy")
    put_to(rivals, "r", "outer")
    put_to(rivals, "q", "inner", parent="outer")
    assert not fails(rivals)


def test_input_waits_for_the_device_that_an_idle_function_gives_up(rivals: Ledger) -> None:
    put_to(rivals, "r", "outer")
    put_to(rivals, "q", "inner", parent="outer")
    assert not fails(rivals)


def test_function_that_holds_the_device_which_it_waits_for_is_stalled(rivals: Ledger) -> None:
    put_to(rivals, "p", "outer")
    put_to(rivals, "q", "inner", parent="outer")
    assert fails(rivals)
