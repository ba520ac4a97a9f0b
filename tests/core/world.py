"""A ledger in surroundings: containers that execute, and a model that checks what it does."""

from __future__ import annotations

from typing import Any

from modalnb.core import events as ev
from modalnb.core import observe
from modalnb.core.capacity import Capacity, Need
from modalnb.core.invariants import validate
from modalnb.core.ledger import Ledger
from modalnb.core.pools import Pool
from modalnb.core.records import Call
from modalnb.settings import AutoscalerSettings, BatchSettings, FunctionSettings, Limits
from modalnb.snapshot import PoolSnapshot
from tests.core.containers import FakeContainer, Job, Key
from tests.core.model import Model

ContainerOutput = tuple[int, ev.Status, Any, float]


class World:
    """Feeds events to a ledger, carries out its instructions on models, and checks both."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.ledger = Ledger(limits)
        self.now = 0.0
        self.containers: dict[str, FakeContainer] = {}
        self.model = Model(self.containers)
        #: What every input that was admitted came to, and what was turned away.
        self.outcomes: dict[Key, tuple[str, Any]] = {}
        self.turned_away: set[Key] = set()
        #: The (lease, call, index) of every delivery to a container, in order; sizes of batches.
        self.deliveries: list[Job] = []
        self.batches: list[int] = []
        self.ended: list[str] = []
        self.gone_pools: list[str] = []
        self.refusals: list[ev.InputsRefused] = []
        self.accepted: list[ev.CallAccepted] = []
        self.spent: list[Any] = []
        self.woken: set[str] = set()
        self._killed: set[str] = set()
        self._numbers = 0

    # -- events ----------------------------------------------------------------------------

    def handle(self, event: ev.Event) -> list[ev.Instruction]:
        self._killed = set()
        instructions = self.ledger.handle(event, self.now)
        self.model.take_in(event, instructions, self.now)
        for instruction in instructions:
            getattr(self, f"_do_{type(instruction).__name__}")(instruction)
        assert self._killed == self.model.to_kill
        validate(self.ledger)
        self._check()
        return instructions

    def tick(self, seconds: float = 0.0) -> list[ev.Instruction]:
        """Let time pass without anybody looking, then look."""
        self.now += seconds
        return self.handle(ev.Tick())

    def advance(self, seconds: float) -> None:
        """Let time pass, and look whenever the ledger wants to."""
        until = self.now + seconds
        while (at := self.ledger.wake_at(self.now)) is not None and at <= until:
            self.now = max(self.now, at)
            self.handle(ev.Tick())
            wake_at = self.ledger.wake_at(self.now)
            assert wake_at is None or wake_at > self.now, "it looks again and again"
        self.now = until

    def define(self, pool_id: str = "a/f", *, deployed: bool = False, **settings: Any) -> None:
        declared = FunctionSettings(**settings)
        self.handle(ev.PoolDefined(pool_id=pool_id, settings=declared, deployed=deployed))

    def put(
        self,
        call_id: str,
        count: int = 1,
        *,
        start: int = 0,
        caller: str = "alice",
        pool_id: str = "a/f",
        code: str = "code",
        kind: ev.CallKind = "live",
        closed: bool = True,
        patient: bool = False,
        payload: Any = b"x",
        parent: Key | None = None,
    ) -> list[ev.Instruction]:
        if start and call_id not in self.ledger.calls:
            self.turned_away |= {(call_id, n) for n in range(start, start + count)}
        return self.handle(
            ev.InputsPut(
                caller=caller,
                call_id=call_id,
                pool_id=pool_id,
                code=code,
                start=start,
                payloads=[payload] * count,
                kind=kind,
                closed=closed,
                patient=patient,
                parent=parent,
            )
        )

    def cancel(self, call_id: str, *, kill: bool = False) -> list[ev.Instruction]:
        return self.handle(ev.CallCancelled(call_id=call_id, kill=kill))

    def expect(self, pool_id: str = "a/f", *, name: str | None = None) -> FakeContainer:
        self._numbers += 1
        name = name or f"{pool_id}.{self._numbers}"
        most = self.ledger.pools[pool_id].settings.max_inputs
        container = FakeContainer(name, pool_id, most, expected_at=self.now)
        self.containers[name] = container
        self.handle(ev.ContainerExpected(container_id=name, pool_id=pool_id))
        return container

    def ready(self, container: FakeContainer | None = None, pool_id: str = "a/f") -> FakeContainer:
        container = container or self.expect(pool_id)
        self.handle(ev.ContainerReady(container_id=container.name, pool_id=container.pool_id))
        return container

    def lose(
        self, container: FakeContainer, story: str = "killed", failure: Any = None, **how: bool
    ) -> list[ev.Instruction]:
        name = container.name
        return self.handle(ev.ContainerLost(container_id=name, story=story, failure=failure, **how))

    def drain(self, *containers: FakeContainer) -> list[ev.Instruction]:
        for container in containers:
            container.is_draining = True
        return self.handle(ev.DrainAsked(container_ids=tuple(c.name for c in containers)))

    def finish(
        self,
        container: FakeContainer,
        count: int = 1,
        *,
        status: ev.Status = "ok",
        payload: Any = b"y",
        seconds: float = 1.0,
        position: int = 0,
    ) -> list[ev.Instruction]:
        """The container empties `count` of its slots; a batch ends as a whole."""
        outputs: list[ContainerOutput] = []
        for _ in range(count):
            slots = container.slots
            for job in slots[min(position, len(slots) - 1)]:
                container.jobs.remove(job)
                outputs.append((job[0], status, payload, seconds))
        return self.outputs(container.name, outputs)

    def outputs(self, name: str, outputs: list[ContainerOutput]) -> list[ev.Instruction]:
        return self.handle(ev.OutputsReturned(container_id=name, outputs=outputs))

    def overdue(self, container: FakeContainer, position: int = 0) -> list[ev.Instruction]:
        """The container finds that the work in one of its slots takes too long."""
        slots = container.slots
        leases = [job[0] for job in slots[min(position, len(slots) - 1)]]
        return self.handle(ev.LeasesOverdue(container_id=container.name, leases=leases))

    def in_time(self, container: FakeContainer, seconds: float) -> list[ev.Instruction]:
        """The container says since when the first of its inputs has executed."""
        return self.handle(ev.ContainerInTime(container_id=container.name, seconds=seconds))

    def stuck(self, container: FakeContainer) -> list[ev.Instruction]:
        return self.handle(ev.ContainerStuck(container_id=container.name))

    def reslot(self, container: FakeContainer, slots: int) -> list[ev.Instruction]:
        """Code in the container changes how many inputs it takes at once."""
        return self.handle(ev.SlotsChanged(container_id=container.name, slots=slots))

    def read_orders(self, container: FakeContainer) -> None:
        """The container obeys what was sent to it, as the real one does."""
        orders, container.orders = container.orders, []
        for order in orders:
            waiting = container.waiting
            if isinstance(order, ev.RecallLeases):
                back = [job for job in waiting if job[0] in order.leases]
                container.jobs = [job for job in container.jobs if job not in back]
                self.handle(
                    ev.LeasesReturned(container_id=container.name, leases=[job[0] for job in back])
                )
            elif isinstance(order, ev.CancelLeases):
                out = [job for job in waiting if job[0] in order.leases]
                container.jobs = [job for job in container.jobs if job not in out]
                self.outputs(container.name, [(job[0], "cancelled", None, 0.0) for job in out])

    # -- what is seen ------------------------------------------------------------------------

    def snapshot(self, pool_id: str = "a/f", room: int | None = None) -> PoolSnapshot:
        pool = self.ledger.pools[pool_id]
        needs = dict.fromkeys(self.ledger.pools, Need(cpu=1.0))
        capacity = Capacity(cores=room, containers=room)
        grant = observe.grants(self.ledger.pools.values(), needs, capacity)[pool_id]
        batch = pool.settings.batch
        return PoolSnapshot(
            pool_id=pool_id,
            app="a",
            function="f",
            taken_at=self.now,
            settings=pool.settings.autoscaler,
            target_inputs=pool.settings.target_inputs,
            max_inputs=pool.settings.max_inputs,
            max_batch_size=batch.max_batch_size if batch else 1,
            single_use=pool.settings.single_use,
            pending=observe.pending(pool),
            running=observe.running(pool),
            retrying=pool.retrying,
            containers=tuple(observe.container_stats(c) for c in pool.containers.values()),
            room=grant.room,
            share=grant.share,
            contended=grant.contended,
            mean_duration=pool.mean_duration,
            mean_boot=pool.mean_boot,
            boot_failures=pool.boot_failures,
            boot_failed_at=pool.boot_failed_at,
        )

    def statuses(self, call_id: str) -> list[str]:
        """How the inputs of a call ended, in their order."""
        return [
            status for (call, _), (status, _) in sorted(self.outcomes.items()) if call == call_id
        ]

    # -- instructions ----------------------------------------------------------------------

    def _do_RunInputs(self, order: ev.RunInputs) -> None:
        container = self._user(order)
        self._deliver(container, order, is_batch=False)

    def _do_RunBatch(self, order: ev.RunBatch) -> None:
        container = self._user(order)
        batch = self.model.settings[container.pool_id].batch
        assert batch is not None
        fates = [self.model.fates[call_id, index] for _, call_id, index, _, _ in order.inputs]
        assert len({fate.code for fate in fates}) == 1, "a batch runs one function"
        assert 1 <= len(fates) <= batch.max_batch_size
        assert len(container.slots) < container.max_inputs, "a batch went without a free slot"
        queue = self.model.waiting(container.pool_id)
        has_waited = min(fate.since for fate in queue) + batch.wait <= self.now
        is_excused = batch.adaptive or (len(fates) == 1 and fates[0].losses > 0)
        assert len(queue) >= batch.max_batch_size or has_waited or is_excused, "sealed too early"
        self.batches.append(len(fates))
        self._deliver(container, order, is_batch=True)

    def _user(self, order: ev.RunInputs | ev.RunBatch) -> FakeContainer:
        container = self.containers[order.container_id]
        assert container.is_ready
        assert not container.is_draining, "a draining container got an input"
        assert not any(isinstance(o, ev.RecallLeases) for o in container.orders)
        return container

    def _deliver(
        self, container: FakeContainer, order: ev.RunInputs | ev.RunBatch, *, is_batch: bool
    ) -> None:
        is_single_use = self.model.settings[container.pool_id].single_use
        if is_single_use:
            assert is_batch or len(order.inputs) == 1
            assert not container.done, "a single-use container is used again"
            assert not container.jobs
        jobs = [(lease, call_id, index) for lease, call_id, index, _, _ in order.inputs]
        for lease, call_id, index, code, _ in order.inputs:
            assert lease > max((job[0] for job in container.jobs), default=0)
            self.model.deliver(container, lease, (call_id, index), code)
        container.add(jobs, self.now, is_batch=is_batch)
        self.deliveries += jobs
        container.is_draining = is_single_use

    def _do_RecallLeases(self, order: ev.RecallLeases) -> None:
        self.containers[order.container_id].orders.append(order)

    def _do_CancelLeases(self, order: ev.CancelLeases) -> None:
        container = self.containers[order.container_id]
        assert set(order.leases) <= set(container.zombies), "it shall stop what is wanted"
        container.orders.append(order)

    def _do_RetireContainer(self, order: ev.RetireContainer) -> None:
        container = self.containers[order.container_id]
        assert not container.jobs, "a container was retired while it executes"
        assert not container.is_retired, "a container was retired twice"
        container.is_draining = container.is_retired = True

    def _do_KillContainer(self, order: ev.KillContainer) -> None:
        container = self.containers[order.container_id]
        assert not container.is_killed, "a container is killed twice"
        self._killed.add(order.container_id)
        container.is_draining = container.is_killed = True

    def _do_DeliverOutputs(self, order: ev.DeliverOutputs) -> None:
        for call_id, index, status, payload in order.outputs:
            key = (call_id, index)
            if key in self.turned_away and call_id not in self.ledger.calls:
                assert status == "cancelled"
                continue
            assert key not in self.outcomes, f"{key} has two outcomes"
            assert self.model.fates[key].status == status
            self.outcomes[key] = (status, payload)

    def _do_KeepOutputs(self, order: ev.KeepOutputs) -> None:
        self._do_DeliverOutputs(ev.DeliverOutputs(caller="", outputs=order.outputs))

    def _do_CallAccepted(self, order: ev.CallAccepted) -> None:
        self.accepted.append(order)

    def _do_InputsRefused(self, order: ev.InputsRefused) -> None:
        # Lost and recalled inputs are queued again whatever the limits say.
        assert order.limit
        assert order.current >= 0
        self.refusals.append(order)

    def _do_PayloadsSpent(self, order: ev.PayloadsSpent) -> None:
        self.spent += order.payloads

    def _do_CallEnded(self, order: ev.CallEnded) -> None:
        assert order.call_id not in self.ledger.calls
        admitted = self.model.admitted[order.call_id]
        assert all((order.call_id, n) in self.outcomes for n in range(admitted))
        self.model.open.discard(order.call_id)
        self.ended.append(order.call_id)

    def _do_PoolGone(self, order: ev.PoolGone) -> None:
        assert order.pool_id not in self.ledger.pools
        self.model.forget_pool(order.pool_id)
        self.gone_pools.append(order.pool_id)

    def _do_PoolChanged(self, order: ev.PoolChanged) -> None:
        self.woken.add(order.pool_id)

    # -- what the models and the ledger must agree on ----------------------------------------

    def _check(self) -> None:
        for name, known in self.ledger.containers.items():
            container = self.containers[name]
            assert list(known.leases) == [job[0] for job in container.jobs]
            assert known.waiting_leases() == [job[0] for job in container.waiting]
            assert known.running == len(container.executing)
            assert known.draining == container.is_draining
            assert known.is_killed == container.is_killed
        expected = {
            key: (fate.state, fate.failures, fate.losses, fate.since * (fate.state == "queued"))
            for key, fate in self.model.fates.items()
            if fate.state != "done"
        }
        assert self._seen() == expected
        ended = {key: f.status for key, f in self.model.fates.items() if f.state == "done"}
        assert {key: status for key, (status, _) in self.outcomes.items()} == ended
        self._check_times()

    def _seen(self) -> dict[Key, tuple[str, int, int, float]]:
        """Where the ledger has each input."""
        seen = {}
        for call in self.ledger.calls.values():
            for state, items in _states(call).items():
                for item in items:
                    since = item.since if state == "queued" else 0.0
                    facts = (state, item.failures, len(item.losses), since)
                    seen[call.id, item.index] = facts
        return seen

    def _check_times(self) -> None:
        wake_at = self.ledger.wake_at(self.now)
        times = self.model.times()
        for pool in self.ledger.pools.values():
            if (batch := pool.settings.batch) and _has_slot(pool):
                waiting = self.model.waiting(pool.id)
                assert len(waiting) < batch.max_batch_size, "a full batch waits"
                times += [fate.since + batch.wait for fate in waiting]
        if times:
            assert wake_at is not None
            assert wake_at <= max(self.now, min(times)), "it would sleep on"


def _states(call: Call) -> dict[str, list[Any]]:
    held = [item for c in call.pool.containers.values() for item in c.leases.values()]
    return {
        "queued": [*call.front, *call.fresh],
        "retrying": list(call.retrying or ()),
        "leased": [item for item in held if item is not None and item.call is call],
    }


def _has_slot(pool: Pool) -> bool:
    """Whether the next input may go, alone or in a batch."""
    return (
        bool(pool.ready)
        and not pool.peek().runs_alone
        and pool.slots.emptiest_below(pool.settings.max_inputs) is not None
    )


def settings(
    least: int = 0, most: int | None = None, buffer: int = 0, window: float = 60.0
) -> AutoscalerSettings:
    """Autoscaler settings with short names."""
    return AutoscalerSettings(
        min_containers=least,
        max_containers=most,
        buffer_containers=buffer,
        scaledown_window=window,
    )


def batches(size: int = 4, wait_ms: int = 100, *, adaptive: bool = False) -> BatchSettings:
    """Settings of a batched function, with short names."""
    return BatchSettings(max_batch_size=size, wait_ms=wait_ms, adaptive=adaptive)


SHORT = 0.015  # two inputs of this length are held ahead


def warm(world: World, seconds: float = SHORT, pool_id: str = "a/f") -> FakeContainer:
    """A container that has answered once, so that the length of inputs is known."""
    container = world.ready(pool_id=pool_id)
    world.put(f"warm-{container.name}", pool_id=pool_id)
    world.finish(container, seconds=seconds)
    return container


def indices(container: FakeContainer) -> list[int]:
    return [index for _, _, index in container.jobs]
