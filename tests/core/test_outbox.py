from __future__ import annotations

from modalnb.core import events as ev
from modalnb.core.admission import Admission
from modalnb.core.outbox import Outbox
from modalnb.core.pools import Pool
from modalnb.core.records import Call, Input
from modalnb.settings import FunctionSettings


def call_of(kind: ev.CallKind = "live") -> Call:
    return Call("call", Pool("a/f", FunctionSettings()), "code", "alice", kind)


def test_instructions_come_in_the_order_in_which_they_must_be_done() -> None:
    out, call = Outbox(), call_of()
    out.pool_changed("a/f")
    out.end(call)
    out.spent({"name": "segment"})
    out.output("", "durable", "kept", 0, "ok", b"")
    out.output("alice", "live", "call", 0, "ok", b"")
    out.cancel("c1", [1])
    out.run("c1", 2, Input(call, 0, b"", 0.0))
    out.accept("alice", "call", 1)
    out.refuse(call, 1, 2, Admission(admitted=0, limit="pending inputs", current=5, maximum=5))
    assert [type(instruction) for instruction in out.instructions()] == [
        ev.CallAccepted,
        ev.InputsRefused,
        ev.RunInputs,
        ev.CancelLeases,
        ev.DeliverOutputs,
        ev.KeepOutputs,
        ev.PayloadsSpent,
        ev.CallEnded,
        ev.PoolChanged,
    ]


def test_inputs_and_outputs_of_one_receiver_travel_together() -> None:
    out, call = Outbox(), call_of()
    for n in range(3):
        out.run("c1", n, Input(call, n, b"in", 0.0))
        out.output("alice", "live", "call", n, "ok", b"out")
        out.pool_changed("a/f")
    out.run("c2", 3, Input(call, 3, b"in", 0.0))
    first, second, outputs, changed = out.instructions()
    assert isinstance(first, ev.RunInputs)
    assert first.inputs == tuple((n, "call", n, "code", b"in") for n in range(3))
    assert second == ev.RunInputs(container_id="c2", inputs=((3, "call", 3, "code", b"in"),))
    assert isinstance(outputs, ev.DeliverOutputs)
    assert outputs.outputs == tuple(("call", n, "ok", b"out") for n in range(3))
    assert changed == ev.PoolChanged(pool_id="a/f")


def test_spent_keeps_quiet_about_payloads_that_hold_nothing_outside() -> None:
    out = Outbox()
    out.spent(b"bytes")
    out.spent(None)
    assert out.instructions() == []


def test_orders_to_containers_name_their_leases() -> None:
    out = Outbox()
    out.recall("c1", [1, 2])
    out.retire("c2", "a/f")
    out.kill("c3", "a/f")
    out.pool_gone("a/f")
    assert out.instructions() == [
        ev.RecallLeases(container_id="c1", leases=(1, 2)),
        ev.RetireContainer(container_id="c2", pool_id="a/f"),
        ev.KillContainer(container_id="c3", pool_id="a/f"),
        ev.PoolGone(pool_id="a/f"),
    ]
