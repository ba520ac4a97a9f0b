"""A ledger with a model of what surrounds it: containers that execute, callers that keep count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from modalnb.core import events as ev
from modalnb.core import observe
from modalnb.core.capacity import Capacity, Need
from modalnb.core.invariants import validate
from modalnb.core.ledger import Ledger
from modalnb.settings import AutoscalerSettings, FunctionSettings, Limits
from modalnb.snapshot import PoolSnapshot

Job = tuple[int, str, int]
Key = tuple[str, int]
ContainerOutput = tuple[int, ev.Status, Any, float]


@dataclass
class FakeContainer:
    """Executes its jobs in order, `max_inputs` at a time; reads other orders when it likes."""

    name: str
    pool_id: str
    max_inputs: int
    is_ready: bool = False
    is_draining: bool = False
    is_retired: bool = False
    is_killed: bool = False
    jobs: list[Job] = field(default_factory=list)
    orders: list[ev.Instruction] = field(default_factory=list)

    @property
    def executing(self) -> list[Job]:
        return self.jobs[: self.max_inputs]


class World:
    """Feeds events to a ledger, carries out its instructions on models, and checks both."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.ledger = Ledger(limits)
        self.now = 0.0
        self.containers: dict[str, FakeContainer] = {}
        #: What every input that was admitted came to, and what was turned away.
        self.outcomes: dict[Key, tuple[str, Any]] = {}
        self.turned_away: set[Key] = set()
        self.losses: dict[Key, int] = {}
        #: The (lease, call, index) of every delivery to a container, in order.
        self.deliveries: list[Job] = []
        self.cancelled: set[int] = set()
        self.ended: list[str] = []
        self.gone_pools: list[str] = []
        self.refusals: list[ev.InputsRefused] = []
        self.accepted: list[ev.CallAccepted] = []
        self.spent: list[Any] = []
        self.woken: set[str] = set()
        self._put: list[str] = []
        self._numbers = 0

    # -- events ----------------------------------------------------------------------------

    def handle(self, event: ev.Event) -> list[ev.Instruction]:
        instructions = self.ledger.handle(event, self.now)
        for instruction in instructions:
            getattr(self, f"_do_{type(instruction).__name__}")(instruction)
        validate(self.ledger)
        self._check()
        return instructions

    def define(self, pool_id: str = "a/f", **settings: Any) -> None:
        self.handle(ev.PoolDefined(pool_id=pool_id, settings=FunctionSettings(**settings)))

    def put(
        self,
        call_id: str,
        count: int = 1,
        *,
        start: int = 0,
        caller: str = "alice",
        pool_id: str = "a/f",
        kind: ev.CallKind = "live",
        closed: bool = True,
        patient: bool = False,
        payload: Any = b"x",
    ) -> list[ev.Instruction]:
        if start and call_id not in self.ledger.calls:
            self.turned_away |= {(call_id, n) for n in range(start, start + count)}
        return self.handle(
            ev.InputsPut(
                caller=caller,
                call_id=call_id,
                pool_id=pool_id,
                code="code",
                start=start,
                payloads=[payload] * count,
                kind=kind,
                closed=closed,
                patient=patient,
            )
        )

    def expect(self, pool_id: str = "a/f", *, name: str | None = None) -> FakeContainer:
        self._numbers += 1
        name = name or f"{pool_id}.{self._numbers}"
        most = self.ledger.pools[pool_id].settings.max_inputs
        container = self.containers[name] = FakeContainer(name, pool_id, most)
        self.handle(ev.ContainerExpected(container_id=name, pool_id=pool_id))
        return container

    def ready(self, container: FakeContainer | None = None, pool_id: str = "a/f") -> FakeContainer:
        container = container or self.expect(pool_id)
        container.is_ready = True
        self.handle(ev.ContainerReady(container_id=container.name, pool_id=container.pool_id))
        return container

    def lose(self, container: FakeContainer, story: str = "killed") -> list[ev.Instruction]:
        del self.containers[container.name]
        if not container.is_killed:
            for lease, call_id, index in container.executing:
                if lease not in self.cancelled:
                    key = (call_id, index)
                    self.losses[key] = self.losses.get(key, 0) + 1
        return self.handle(ev.ContainerLost(container_id=container.name, story=story))

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
        """The container ends `count` of the inputs that it executes."""
        outputs: list[ContainerOutput] = []
        for _ in range(count):
            lease, *_ = container.jobs.pop(min(position, len(container.executing) - 1))
            outputs.append((lease, status, payload, seconds))
        return self.outputs(container.name, outputs)

    def outputs(self, name: str, outputs: list[ContainerOutput]) -> list[ev.Instruction]:
        return self.handle(ev.OutputsReturned(container_id=name, outputs=outputs))

    def read_orders(self, container: FakeContainer) -> None:
        """The container obeys what was sent to it, as the real one does."""
        orders, container.orders = container.orders, []
        for order in orders:
            waiting = container.jobs[container.max_inputs :]
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

    def snapshot(self, pool_id: str = "a/f", room: int | None = None) -> PoolSnapshot:
        pool = self.ledger.pools[pool_id]
        needs = dict.fromkeys(self.ledger.pools, Need(cpu=1.0))
        capacity = Capacity(cores=room, containers=room)
        grant = observe.grants(self.ledger.pools.values(), needs, capacity)[pool_id]
        return PoolSnapshot(
            pool_id=pool_id,
            app="a",
            function="f",
            taken_at=self.now,
            settings=pool.settings.autoscaler,
            target_inputs=pool.settings.target_inputs,
            max_inputs=pool.settings.max_inputs,
            pending=observe.pending(pool),
            running=observe.running(pool),
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
        container = self.containers[order.container_id]
        assert container.is_ready
        assert not container.is_draining, "a draining container got an input"
        assert not any(isinstance(o, ev.RecallLeases) for o in container.orders)
        for lease, call_id, index, _, _ in order.inputs:
            assert lease > max((job[0] for job in container.jobs), default=0)
            assert (call_id, index) not in self.outcomes, "an input with an outcome runs"
            container.jobs.append((lease, call_id, index))
            self.deliveries.append((lease, call_id, index))

    def _do_RecallLeases(self, order: ev.RecallLeases) -> None:
        self.containers[order.container_id].orders.append(order)

    def _do_CancelLeases(self, order: ev.CancelLeases) -> None:
        self.cancelled |= set(order.leases)
        self.containers[order.container_id].orders.append(order)

    def _do_RetireContainer(self, order: ev.RetireContainer) -> None:
        container = self.containers[order.container_id]
        assert not container.jobs, "a container was retired while it executes"
        assert not container.is_retired, "a container was retired twice"
        container.is_draining = container.is_retired = True

    def _do_KillContainer(self, order: ev.KillContainer) -> None:
        container = self.containers[order.container_id]
        assert any(job[0] in self.cancelled for job in container.jobs)
        container.is_draining = container.is_killed = True

    def _do_DeliverOutputs(self, order: ev.DeliverOutputs) -> None:
        for call_id, index, status, payload in order.outputs:
            key = (call_id, index)
            if key in self.turned_away and call_id not in self.ledger.calls:
                assert status == "cancelled"
                continue
            assert key not in self.outcomes, f"{key} has two outcomes"
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
        self.ended.append(order.call_id)

    def _do_PoolGone(self, order: ev.PoolGone) -> None:
        assert order.pool_id not in self.ledger.pools
        self.gone_pools.append(order.pool_id)

    def _do_PoolChanged(self, order: ev.PoolChanged) -> None:
        self.woken.add(order.pool_id)

    # -- what the models and the ledger must agree on ----------------------------------------

    def _check(self) -> None:
        for name, known in self.ledger.containers.items():
            container = self.containers[name]
            assert list(known.leases) == [job[0] for job in container.jobs]
            assert known.draining == container.is_draining
        for item in self._inputs():
            key = (item.call.id, item.index)
            assert len(item.losses) == self.losses.get(key, 0), "only executing inputs are charged"
            assert key not in self.outcomes

    def _inputs(self) -> Iterable[Any]:
        for call in self.ledger.calls.values():
            yield from (*call.front, *call.fresh)
        for container in self.ledger.containers.values():
            yield from (item for item in container.leases.values() if item is not None)


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


SHORT = 0.015  # two inputs of this length are held ahead


def warm(world: World, seconds: float = SHORT, pool_id: str = "a/f") -> FakeContainer:
    """A container that has answered once, so that the length of inputs is known."""
    container = world.ready(pool_id=pool_id)
    world.put(f"warm-{container.name}", pool_id=pool_id)
    world.finish(container, seconds=seconds)
    return container


def indices(container: FakeContainer) -> list[int]:
    return [index for _, _, index in container.jobs]
