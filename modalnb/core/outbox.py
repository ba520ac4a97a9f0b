"""Gathers the instructions of one event, so that many inputs travel in one message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modalnb.core import events as ev
from modalnb.core.admission import Admission
from modalnb.core.records import Call, Input

_Run = tuple[int, str, int, str, Any]
_Output = tuple[str, int, ev.Status, Any]


def _run(lease: int, item: Input) -> _Run:
    call = item.call
    return lease, call.id, item.index, call.code, item.payload


class Outbox:
    """Instructions by receiver; :meth:`instructions` gives them in the order they must be done.

    Outputs leave before the end of their call is told, and refusals before anything that a
    caller could take for success.
    """

    __slots__ = (
        "_answers",
        "_batches",
        "_changed",
        "_ended",
        "_keeps",
        "_orders",
        "_outputs",
        "_runs",
        "_spent",
    )

    def __init__(self) -> None:
        self._answers: list[ev.Instruction] = []
        self._runs: dict[str, list[_Run]] = {}
        self._batches: list[ev.Instruction] = []
        self._orders: list[ev.Instruction] = []
        self._outputs: dict[str, list[_Output]] = {}
        self._keeps: list[_Output] = []
        self._ended: list[ev.Instruction] = []
        self._changed: dict[str, None] = {}
        self._spent: list[Any] = []

    def run(self, container_id: str, lease: int, item: Input) -> None:
        self._runs.setdefault(container_id, []).append(_run(lease, item))

    def run_batch(self, container_id: str, items: Mapping[int, Input]) -> None:
        inputs = tuple(_run(lease, item) for lease, item in items.items())
        self._batches.append(ev.RunBatch(container_id=container_id, inputs=inputs))

    def output(
        self,
        caller: str,
        kind: ev.CallKind,
        call_id: str,
        index: int,
        status: ev.Status,
        payload: Any,
    ) -> None:
        if kind == "live":
            self._outputs.setdefault(caller, []).append((call_id, index, status, payload))
        else:
            self._keeps.append((call_id, index, status, payload))

    def spent(self, payload: Any) -> None:
        if payload is not None and not isinstance(payload, bytes | float):
            self._spent.append(payload)

    def pool_gone(self, pool_id: str) -> None:
        self._ended.append(ev.PoolGone(pool_id=pool_id))

    def refuse(self, call: Call, start: int, refused: int, admission: Admission) -> None:
        self._answers.append(
            ev.InputsRefused(
                caller=call.caller,
                call_id=call.id,
                start=start,
                count=refused,
                limit=admission.limit,
                current=admission.current,
                maximum=admission.maximum,
            )
        )

    def accept(self, caller: str, call_id: str, count: int) -> None:
        self._answers.append(ev.CallAccepted(caller=caller, call_id=call_id, count=count))

    def recall(self, container_id: str, leases: list[int]) -> None:
        self._orders.append(ev.RecallLeases(container_id=container_id, leases=tuple(leases)))

    def cancel(self, container_id: str, leases: list[int]) -> None:
        self._orders.append(ev.CancelLeases(container_id=container_id, leases=tuple(leases)))

    def retire(self, container_id: str, pool_id: str) -> None:
        self._orders.append(ev.RetireContainer(container_id=container_id, pool_id=pool_id))

    def kill(self, container_id: str, pool_id: str) -> None:
        self._orders.append(ev.KillContainer(container_id=container_id, pool_id=pool_id))

    def end(self, call: Call) -> None:
        self._ended.append(
            ev.CallEnded(call_id=call.id, pool_id=call.pool.id, code=call.code, kind=call.kind)
        )

    def pool_changed(self, pool_id: str) -> None:
        self._changed[pool_id] = None

    def instructions(self) -> list[ev.Instruction]:
        done: list[ev.Instruction] = self._answers
        for container_id, inputs in self._runs.items():
            done.append(ev.RunInputs(container_id=container_id, inputs=tuple(inputs)))
        done += self._batches
        done += self._orders
        for caller, outputs in self._outputs.items():
            done.append(ev.DeliverOutputs(caller=caller, outputs=tuple(outputs)))
        if self._keeps:
            done.append(ev.KeepOutputs(outputs=tuple(self._keeps)))
        if self._spent:
            done.append(ev.PayloadsSpent(payloads=tuple(self._spent)))
        done += self._ended
        done += [ev.PoolChanged(pool_id=pool_id) for pool_id in self._changed]
        return done
