"""A second, simple ledger: what must become of each input, reckoned from the events alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from modalnb.core import events as ev
from modalnb.core.leasing import (
    CANCEL_GRACE,
    MAX_BOOT_FAILURES,
    MAX_LIMIT_LOSSES,
    MAX_LOSSES,
    OVERDUE_GRACE,
)
from modalnb.settings import FunctionSettings
from tests.core.containers import FakeContainer, Key


@dataclass
class Fate:
    """Where one input is, since when, and what it went through."""

    call_id: str
    index: int
    pool_id: str
    caller: str
    kind: ev.CallKind
    code: str
    since: float
    state: Literal["queued", "leased", "retrying", "done"] = "queued"
    due: float = math.inf
    failures: int = 0
    losses: int = 0
    deliveries: int = 0
    #: Times that it came back without a failure or a loss of its own.
    excused: int = 0
    status: ev.Status | None = None

    def queue(self, now: float) -> None:
        self.state, self.since = "queued", now

    def settle(self, status: ev.Status) -> None:
        assert self.state != "done", "an input has two outcomes"
        self.state, self.status = "done", status


class Model:
    """Every input that was admitted, every slot that is not free, every container to be ended."""

    def __init__(self, containers: dict[str, FakeContainer]) -> None:
        self.containers = containers
        self.settings: dict[str, FunctionSettings] = {}
        self.deployed: dict[str, bool] = {}
        self.fates: dict[Key, Fate] = {}
        #: Inputs of each call that were admitted; calls that are open.
        self.admitted: dict[str, int] = {}
        self.open: set[str] = set()
        self.boot_failures: dict[str, int] = {}
        #: When the timeout of a pool was changed: what runs gets some seconds from then on.
        self.retimed_at: dict[str, float] = {}
        #: Containers that the last event must end.
        self.to_kill: set[str] = set()

    # -- events, after the ledger had them and before its instructions are carried out -------

    def take_in(self, event: ev.Event, answer: list[ev.Instruction], now: float) -> None:
        self.to_kill = set()
        handler = getattr(self, f"_on_{type(event).__name__}", None)
        if handler is not None:
            handler(event, answer, now)
        for container in self.containers.values():
            self._give_grace(container, now)
        for name in self.to_kill:
            # It is being ended anyway.
            self.containers[name].zombies = dict.fromkeys(self.containers[name].zombies, math.inf)

    def _on_PoolDefined(self, event: ev.PoolDefined, answer: Any, now: float) -> None:
        before = self.settings.get(event.pool_id)
        if before is not None and before.timeout != event.settings.timeout:
            self.retimed_at[event.pool_id] = now
        self.settings[event.pool_id] = event.settings
        self.deployed[event.pool_id] = event.deployed
        for container in self._of(event.pool_id):
            if before is not None and before.max_inputs != event.settings.max_inputs:
                container.moved_at = now
            container.reslot(event.settings.max_inputs)
            if event.settings.single_use and (container.done or container.jobs):
                container.is_draining = True

    def _on_InputsPut(self, event: ev.InputsPut, answer: list[ev.Instruction], now: float) -> None:
        if event.call_id not in self.open:
            if event.start:
                return
            self.admitted[event.call_id] = 0
            self.open.add(event.call_id)
        known = self.admitted[event.call_id]
        refused = [i.start for i in answer if isinstance(i, ev.InputsRefused)]
        stop = refused[0] if refused else event.start + len(event.payloads)
        if event.start > known:
            return
        for n in range(known, stop):
            self.fates[event.call_id, n] = Fate(
                event.call_id, n, event.pool_id, event.caller, event.kind, event.code, now
            )
        self.admitted[event.call_id] = max(known, stop)

    def _on_CallCancelled(self, event: ev.CallCancelled, answer: Any, now: float) -> None:
        if event.kill:
            for container in self.containers.values():
                if any(
                    call_id == event.call_id and lease in container.live
                    for lease, call_id, _ in container.executing
                ):
                    self._kill(container)
        self._cancel(fate for fate in self.fates.values() if fate.call_id == event.call_id)

    def _on_CallerGone(self, event: ev.CallerGone, answer: Any, now: float) -> None:
        self._cancel(
            fate
            for fate in self.fates.values()
            if fate.caller == event.caller and fate.kind == "live"
        )

    def _on_PoolRemoved(self, event: ev.PoolRemoved, answer: Any, now: float) -> None:
        if event.cancel:
            self._cancel(f for f in self.fates.values() if f.pool_id == event.pool_id)

    def _cancel(self, fates: Iterable[Fate]) -> None:
        ended = [fate for fate in fates if fate.state != "done"]
        for fate in ended:
            fate.settle("cancelled")
        for container in self.containers.values():
            for lease, fate in list(container.live.items()):
                if fate.state == "done":
                    self._release(container, lease)

    def _on_ContainerReady(self, event: ev.ContainerReady, answer: Any, now: float) -> None:
        container = self.containers[event.container_id]
        if not container.is_draining and container.ready_at is None:
            container.ready_at = now
            self.boot_failures[container.pool_id] = 0

    def _on_ContainerLost(self, event: ev.ContainerLost, answer: Any, now: float) -> None:
        container = self.containers.pop(event.container_id, None)
        if container is None:
            return
        if container.ready_at is None and not container.is_draining:
            self._boot_failed(container.pool_id, event.failure)
        executing = {job[0] for job in container.executing}
        allowed = MAX_LOSSES
        if event.over_limit and len(executing) == 1:
            allowed = MAX_LIMIT_LOSSES if container.done else 1
        for lease, fate in container.live.items():
            if container.is_killed or lease not in executing:
                fate.excused += 1
            else:
                fate.losses += 1
            if fate.losses >= (allowed if lease in executing else MAX_LOSSES):
                fate.settle("lost")
            else:
                fate.queue(now)

    def _boot_failed(self, pool_id: str, failure: Any) -> None:
        self.boot_failures[pool_id] = self.boot_failures.get(pool_id, 0) + 1
        works = any(c.ready_at is not None and not c.is_draining for c in self._of(pool_id))
        if works or self.deployed[pool_id] or self.boot_failures[pool_id] < MAX_BOOT_FAILURES:
            return
        for fate in self.fates.values():
            if fate.pool_id == pool_id and fate.state == "queued":
                fate.settle("lost" if failure is None else "error")

    def _on_OutputsReturned(self, event: ev.OutputsReturned, answer: Any, now: float) -> None:
        container = self.containers.get(event.container_id)
        if container is None:
            return
        for lease, status, _, _ in event.outputs:
            if lease in container.zombies:
                del container.zombies[lease]
            elif lease in container.live:
                fate = container.live.pop(lease)
                if status in ("error", "timeout"):
                    self._fail(fate, status, now)
                else:
                    fate.settle(status)
            else:
                continue
            container.moved_at = now
            container.done += 1

    def _on_LeasesReturned(self, event: ev.LeasesReturned, answer: Any, now: float) -> None:
        container = self.containers.get(event.container_id)
        for lease in event.leases if container else ():
            assert container is not None
            container.zombies.pop(lease, None)
            if lease in container.live:
                fate = container.live.pop(lease)
                fate.excused += 1
                fate.queue(now)

    def _on_LeasesOverdue(self, event: ev.LeasesOverdue, answer: Any, now: float) -> None:
        container = self.containers.get(event.container_id)
        for lease in event.leases if container else ():
            assert container is not None
            if lease in container.live:
                self._fail(self._release(container, lease), "timeout", now)

    def _on_ContainerInTime(self, event: ev.ContainerInTime, answer: Any, now: float) -> None:
        container = self.containers.get(event.container_id)
        if container is not None and container.jobs:
            container.moved_at = max(container.moved_at, now - event.seconds)

    def _on_ContainerStuck(self, event: ev.ContainerStuck, answer: Any, now: float) -> None:
        if container := self.containers.get(event.container_id):
            self._kill(container)

    def _on_SlotsChanged(self, event: ev.SlotsChanged, answer: Any, now: float) -> None:
        if container := self.containers.get(event.container_id):
            container.own_slots = event.slots
            container.moved_at = now
            container.reslot(self.settings[container.pool_id].max_inputs)

    def _on_StallChecked(
        self, event: ev.StallChecked, answer: list[ev.Instruction], now: float
    ) -> None:
        """Which input has to fail is the business of tests of their own; it must be waiting."""
        for call_id, index, status in outputs_in(answer):
            assert status == "stalled"
            assert self.fates[call_id, index].state == "queued"
            self.fates[call_id, index].settle("stalled")

    def _on_Tick(self, event: ev.Tick, answer: list[ev.Instruction], now: float) -> None:
        self._retry(now)
        for container in self.containers.values():
            settings = self.settings[container.pool_id]
            if container.is_killed:
                continue
            if container.ready_at is None:
                limit = container.expected_at + settings.seconds_to_start
                if not container.is_draining and now >= limit:
                    self._kill(container)
                    self._boot_failed(container.pool_id, None)
                continue
            late = self.late(container, now)
            cling_at = min(container.zombies.values(), default=math.inf)
            if cling_at <= now or late:
                self._kill(container)
            if all(self._limit(container, lease) <= cling_at for lease in late):
                for lease in late:
                    self._fail(self._release(container, lease), "timeout", now)
        self._retry(now)

    def _retry(self, now: float) -> None:
        for fate in self.fates.values():
            if fate.state == "retrying" and fate.due <= now:
                fate.queue(now)

    # -- inputs and slots --------------------------------------------------------------------

    def _fail(self, fate: Fate, status: ev.Status, now: float) -> None:
        retries = self.settings[fate.pool_id].retries
        if retries is None or fate.failures >= retries.max_retries:
            fate.settle(status)
            return
        fate.failures += 1
        fate.state, fate.due = "retrying", now + retries.delay(fate.failures)

    def _release(self, container: FakeContainer, lease: int) -> Fate:
        """The input has left its slot for its caller; the container does not know or obey yet."""
        container.zombies[lease] = math.inf
        return container.live.pop(lease)

    def _give_grace(self, container: FakeContainer, now: float) -> None:
        """What nobody wants, nor others of its batch, has to be let go in time."""
        if container.is_killed:
            return
        for lease, at in container.zombies.items():
            mates = container.mates(lease)
            if at == math.inf and not any(mate in container.live for mate in mates):
                container.zombies[lease] = now + CANCEL_GRACE

    def _kill(self, container: FakeContainer) -> None:
        if not container.is_killed:
            self.to_kill.add(container.name)

    def late(self, container: FakeContainer, now: float) -> list[int]:
        """Executing inputs that should have ended, of which the container has said nothing."""
        retimed = self.retimed_at.get(container.pool_id, -math.inf) + OVERDUE_GRACE
        return [
            lease
            for lease, _, _ in container.executing
            if lease in container.live and max(self._limit(container, lease), retimed) <= now
        ]

    def _limit(self, container: FakeContainer, lease: int) -> float:
        timeout = self.settings[container.pool_id].timeout
        return max(container.moved_at, container.leased_at[lease]) + timeout + OVERDUE_GRACE

    def forget_pool(self, pool_id: str) -> None:
        for facts in (self.settings, self.deployed, self.boot_failures, self.retimed_at):
            facts.pop(pool_id, None)

    def _of(self, pool_id: str) -> list[FakeContainer]:
        return [c for c in self.containers.values() if c.pool_id == pool_id]

    # -- instructions ------------------------------------------------------------------------

    def deliver(self, container: FakeContainer, lease: int, key: Key, code: str) -> None:
        """An input goes to a container."""
        fate = self.fates[key]
        assert fate.state == "queued", f"{key} runs though it is {fate.state}"
        assert fate.code == code
        fate.state = "leased"
        fate.deliveries += 1
        assert fate.deliveries == 1 + fate.failures + fate.losses + fate.excused
        container.live[lease] = fate

    def waiting(self, pool_id: str) -> list[Fate]:
        return [f for f in self.fates.values() if f.pool_id == pool_id and f.state == "queued"]

    def times(self) -> list[float]:
        """When something has to happen though nothing else does."""
        retries = [f.due for f in self.fates.values() if f.state == "retrying"]
        clings = [at for c in self.containers.values() for at in c.zombies.values()]
        starts = [
            c.expected_at + self.settings[c.pool_id].seconds_to_start
            for c in self.containers.values()
            if c.ready_at is None and not c.is_draining
        ]
        limits = [
            max(self._limit(c, lease), self.retimed_at.get(c.pool_id, 0.0) + OVERDUE_GRACE)
            for c in self.containers.values()
            if not c.is_killed
            for lease, _, _ in c.executing
            if lease in c.live
        ]
        return [at for at in (*retries, *clings, *starts, *limits) if at < math.inf]


def outputs_in(instructions: list[ev.Instruction]) -> list[tuple[str, int, ev.Status]]:
    """The (call, index, status) of all outputs."""
    return [
        output[:3]
        for order in instructions
        if isinstance(order, ev.DeliverOutputs | ev.KeepOutputs)
        for output in order.outputs
    ]
