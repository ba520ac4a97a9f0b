"""Carries out the instructions of the ledger: one method for each kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.payload import envelope
from modalnb.settings import FunctionSettings

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin

WAKE_SECONDS = 0.02

#: (lease, call id, index, code, payload) tuples
Inputs = tuple[tuple[int, str, int, str, Any], ...]


class Enactor:
    """The hands of a plane: sends to containers, callers and the operator."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane
        #: Code that each container has, so that it travels once.
        self._sent_code: dict[str, set[str]] = {}
        #: Who gets what a container prints below Python after its input has ended.
        self.last_callers: dict[str, list[tuple[str, str]]] = {}
        self._woken: set[str] = set()
        self._woken_at = 0.0

    def enact(self, instruction: ev.Instruction) -> None:
        """Carry out one instruction."""
        _ENACT[type(instruction)](self, instruction)

    def forget(self, container_id: str) -> None:
        """A container is gone."""
        self._sent_code.pop(container_id, None)
        self.last_callers.pop(container_id, None)

    def configure(self, container_id: str, settings: FunctionSettings) -> None:
        """Tell a container how it works on inputs."""
        self._plane.send_to(
            container_id,
            {"op": m.CONFIGURE, "max_inputs": settings.max_inputs, "timeout": settings.timeout},
        )

    def send_code(self, container_id: str, codes: set[str]) -> None:
        """Send what a container does not have yet of these codes."""
        sent = self._sent_code.setdefault(container_id, set())
        if codes <= sent:
            return
        for code in set(map(m.whole_code, codes)) - sent:
            blob = self._plane.registry.blob(code)
            self._plane.send_to(container_id, {"op": m.CODE, "code": code, "blob": blob})
            sent.add(code)
        sent |= codes

    def _enact_run(self, order: ev.RunInputs) -> None:
        self._run(m.RUN, order.container_id, order.inputs)

    def _enact_batch(self, order: ev.RunBatch) -> None:
        self._run(m.BATCH, order.container_id, order.inputs)

    def _run(self, op: str, container_id: str, inputs: Inputs) -> None:
        inputs = self._with_current_code(container_id, inputs)
        last = self._plane.ledger.calls.get(inputs[-1][1])
        if last is not None:
            self.last_callers[container_id] = [(last.caller, last.id)]
        self.send_code(container_id, {item[3] for item in inputs})
        self._plane.graph.begin(container_id, inputs)
        self._plane.send_to(container_id, {"op": op, "inputs": inputs})

    def _with_current_code(self, container_id: str, inputs: Inputs) -> Inputs:
        """Inputs of a class run the newest code, also those that came before it.

        A container has one instance: with the code of its call each input would make it stop one
        and start another as long as calls of both versions take turns.
        """
        record = self._plane.registry.record(self._plane.ledger.containers[container_id].pool.id)
        if record is None or not record.is_service:
            return inputs
        code = record.code
        return tuple(
            (lease, call_id, index, m.with_code(named, code), payload)
            for lease, call_id, index, named, payload in inputs
        )

    def _enact_recall(self, order: ev.RecallLeases) -> None:
        self._plane.send_to(order.container_id, {"op": m.RECALL, "leases": order.leases})

    def _enact_cancel(self, order: ev.CancelLeases) -> None:
        self._plane.send_to(order.container_id, {"op": m.STOP, "leases": order.leases})

    def _enact_retire(self, order: ev.RetireContainer) -> None:
        supply = self._plane.supply
        if order.container_id in supply.leased:
            self._plane.loop.call_soon(supply.release, order.container_id)
            return
        supply.tell({"retire": (order.container_id, order.pool_id)})

    def _enact_kill(self, order: ev.KillContainer) -> None:
        self._plane.supply.tell({"kill": (order.container_id, order.pool_id)})

    def _enact_deliver(self, order: ev.DeliverOutputs) -> None:
        self._plane.graph.finish(order.outputs)
        self._plane.reply(order.caller, kind="outputs", outputs=order.outputs)

    def _enact_keep(self, order: ev.KeepOutputs) -> None:
        self._plane.graph.finish(order.outputs)
        waiting: dict[str, list[Any]] = {}
        for output in order.outputs:
            for caller in self._plane.keeper.keep(output):
                waiting.setdefault(caller, []).append(output)
        for caller, outputs in waiting.items():
            self._plane.reply(caller, kind="kept", outputs=outputs)

    def _enact_accepted(self, order: ev.CallAccepted) -> None:
        if kept := self._plane.keeper.calls.get(order.call_id):
            kept.admitted = order.count
        self._plane.reply(order.caller, kind="accepted", call_id=order.call_id)

    def _enact_refused(self, order: ev.InputsRefused) -> None:
        if kept := self._plane.keeper.calls.get(order.call_id):
            kept.admitted = order.start
            kept.is_complete = False
            if not order.start:
                del self._plane.keeper.calls[order.call_id]
        self._plane.reply(
            order.caller,
            kind="refused",
            call_id=order.call_id,
            start=order.start,
            limit=order.limit,
            current=order.current,
            maximum=order.maximum,
        )

    def _enact_ended(self, order: ev.CallEnded) -> None:
        self._plane.registry.release_code(order.code)
        self._plane.streams.end(order.call_id)
        if order.kind == "durable":
            self._plane.keeper.end(order.call_id, time.time())

    def _enact_spent(self, order: ev.PayloadsSpent) -> None:
        for payload in order.payloads:
            envelope.discard(payload, self._plane.depot)

    def _enact_pool_gone(self, order: ev.PoolGone) -> None:
        self._plane.supply.tell({"forget": order.pool_id})

    def _enact_changed(self, order: ev.PoolChanged) -> None:
        self.wake((order.pool_id,))

    def wake(self, pools: Iterable[str]) -> None:
        """Ask the operator to look at these pools, many changes in one message."""
        if not self._woken:
            wait = max(0.0, self._woken_at + WAKE_SECONDS - time.monotonic())
            self._plane.loop.call_later(wait, self._send_wake)
        self._woken.update(pools or ("",))

    def _send_wake(self) -> None:
        self._woken_at = time.monotonic()
        pools, self._woken = sorted(self._woken), set()
        self._plane.supply.tell({"wake": pools})


_ENACT: dict[type[ev.Instruction], Callable[[Enactor, Any], None]] = {
    ev.RunInputs: Enactor._enact_run,
    ev.RunBatch: Enactor._enact_batch,
    ev.RecallLeases: Enactor._enact_recall,
    ev.CancelLeases: Enactor._enact_cancel,
    ev.RetireContainer: Enactor._enact_retire,
    ev.KillContainer: Enactor._enact_kill,
    ev.DeliverOutputs: Enactor._enact_deliver,
    ev.KeepOutputs: Enactor._enact_keep,
    ev.CallAccepted: Enactor._enact_accepted,
    ev.InputsRefused: Enactor._enact_refused,
    ev.CallEnded: Enactor._enact_ended,
    ev.PayloadsSpent: Enactor._enact_spent,
    ev.PoolGone: Enactor._enact_pool_gone,
    ev.PoolChanged: Enactor._enact_changed,
}
