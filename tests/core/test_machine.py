"""Random lives of a ledger: callers, containers and the real policy, checked after every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from modalnb.core import events as ev
from modalnb.core.autoscaling import Decision, Memory, decide
from modalnb.settings import Limits, Retries
from modalnb.snapshot import PoolSnapshot
from tests.core.containers import FakeContainer, Key
from tests.core.world import World, batches
from tests.core.world import settings as autoscaler

#: The functions, and the shapes that their settings may take while inputs are on their way.
SHAPES: dict[str, list[dict[str, Any]]] = {
    "a/one": [{"startup_timeout": 5.0}],
    "a/wide": [
        {"max_inputs": 3, "target_inputs": 2, "timeout": 20.0, "retries": Retries(max_retries=2)},
        {"max_inputs": 1, "timeout": 0.5, "retries": Retries(max_retries=2, initial_delay=0)},
    ],
    "a/batch": [
        {"batch": batches(4, 100), "retries": Retries(max_retries=1, initial_delay=0.05)},
        {"batch": batches(3, 1000), "max_inputs": 2, "timeout": 20.0},
        {"batch": batches(5, 1000, adaptive=True), "max_inputs": 2, "target_inputs": 2},
        {"batch": batches(2, 0), "single_use": True},
        {"max_inputs": 2, "retries": Retries(max_retries=3)},
    ],
    "a/once": [{"single_use": True, "startup_timeout": 1.0}, {"single_use": True}],
}
POOLS = tuple(SHAPES)
CALLERS = ("alice", "bob")
LIMITS = Limits(pending=20, total=25, pending_spawns=12)
ROOM = 8
STEPS_TO_REST = 400


@dataclass
class Caller:
    """A caller of one call: which inputs it has sent, and whether it sends refused ones again."""

    call_id: str
    name: str
    pool_id: str
    kind: ev.CallKind
    code: str
    parent: Key | None
    patient: bool
    total: int
    next: int = 0
    is_over: bool = False


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(LIMITS)
        self.memory = dict.fromkeys(POOLS, Memory())
        self.callers: dict[str, Caller] = {}
        self.serial = 0

    @initialize(
        warm=st.lists(st.integers(0, 2), min_size=len(POOLS), max_size=len(POOLS)),
        seconds=st.sampled_from([0.0001, 0.005, 1.0]),
        deployed=st.booleans(),
    )
    def begin(self, warm: list[int], seconds: float, deployed: bool) -> None:
        """Functions with some warm containers that have answered before."""
        for pool_id, count in zip(POOLS, warm, strict=True):
            self.world.define(pool_id, deployed=deployed, **SHAPES[pool_id][0])
            for _ in range(count):
                container = self.world.ready(pool_id=pool_id)
                self.world.put(f"first-{container.name}", pool_id=pool_id)
                self.world.advance(0.1)
                self.world.finish(container, seconds=seconds)

    # -- callers ---------------------------------------------------------------------------

    @rule(
        pool_id=st.sampled_from(POOLS),
        name=st.sampled_from(CALLERS),
        kind=st.sampled_from(["live", "live", "durable"]),
        code=st.sampled_from(["code", "code", "code", "other"]),
        patient=st.booleans(),
        total=st.integers(0, 12),
        is_nested=st.booleans(),
    )
    def open_call(
        self,
        pool_id: str,
        name: str,
        kind: ev.CallKind,
        code: str,
        patient: bool,
        total: int,
        is_nested: bool,
    ) -> None:
        if pool_id not in self.world.ledger.pools:
            return
        self.serial += 1
        running = [job[1:] for c in self.world.containers.values() for job in c.executing]
        parent = running[-1] if running and is_nested else None
        caller = Caller(f"call-{self.serial}", name, pool_id, kind, code, parent, patient, total)
        self.callers[caller.call_id] = caller
        self._put(caller, 0, total if not patient else total // 2)

    @precondition(lambda self: self.callers)
    @rule(data=st.data(), repeated=st.integers(0, 3), count=st.integers(0, 6))
    def put_more(self, data: st.DataObject, repeated: int, count: int) -> None:
        """A patient caller goes on, repeats some inputs, and once in a while leaves a gap."""
        caller = self.callers[data.draw(st.sampled_from(sorted(self.callers)))]
        self._put_more(caller, repeated, count)

    def _is_over(self, caller: Caller) -> bool:
        return caller.is_over or caller.call_id in self.world.ended

    def _put_more(self, caller: Caller, repeated: int, count: int) -> None:
        if caller.patient and not self._is_over(caller):
            start = max(0, caller.next - repeated)
            self._put(caller, start, min(caller.total - start, repeated + count))

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def put_beyond_gap(self, data: st.DataObject) -> None:
        caller = self.callers[data.draw(st.sampled_from(sorted(self.callers)))]
        call = self.world.ledger.calls.get(caller.call_id)
        if (
            caller.patient
            and not self._is_over(caller)
            and call
            and caller.total > call.admitted + 1
        ):
            admitted, seen = call.admitted, len(self.world.refusals)
            self._put(caller, admitted + 1, caller.total - admitted - 1)
            assert call.admitted == admitted
            assert len(self.world.refusals) == seen

    def _put(self, caller: Caller, start: int, count: int) -> None:
        ledger, world = self.world.ledger, self.world
        seen = len(world.refusals)
        before = len(world.accepted)
        known = ledger.calls.get(caller.call_id)
        admitted = known.admitted if known else 0
        world.put(
            caller.call_id,
            count,
            start=start,
            caller=caller.name,
            pool_id=caller.pool_id,
            kind=caller.kind,
            code=caller.code,
            parent=caller.parent,
            closed=not caller.patient,
            patient=caller.patient,
        )
        refusals = world.refusals[seen:]
        if refusals and known is None and not caller.patient and not refusals[0].start:
            caller.is_over = True
        caller.next = refusals[0].start if refusals else max(caller.next, start + count)
        if start > admitted:
            caller.next = admitted
        if caller.kind == "durable" and not refusals and start <= admitted:
            assert world.accepted[before].count >= start + count

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def close_call(self, data: st.DataObject) -> None:
        """A caller says that there is no more, though some of it may have been refused."""
        caller = self.callers[data.draw(st.sampled_from(sorted(self.callers)))]
        call = self.world.ledger.calls.get(caller.call_id)
        if call is not None and max(call.admitted, call.owed) == caller.total:
            self.world.handle(ev.CallClosed(call_id=caller.call_id))

    @precondition(lambda self: self.callers)
    @rule(data=st.data(), kill=st.booleans())
    def cancel_call(self, data: st.DataObject, kill: bool) -> None:
        caller = self.callers[data.draw(st.sampled_from(sorted(self.callers)))]
        self.world.cancel(caller.call_id, kill=kill)
        caller.is_over = True
        assert caller.call_id not in self.world.ledger.calls
        # What was on the way when it was cancelled is turned away.
        self._put(caller, max(1, caller.next), 2)

    @rule(name=st.sampled_from(CALLERS))
    def caller_goes(self, name: str) -> None:
        self.world.handle(ev.CallerGone(caller=name))
        for caller in self.callers.values():
            caller.is_over = caller.is_over or caller.name == name

    # -- containers ------------------------------------------------------------------------

    def _some(self, *, ready: bool = True, busy: bool = False) -> list[FakeContainer]:
        return [
            c
            for c in self.world.containers.values()
            if c.is_ready == ready and not c.is_retired and (c.jobs or not busy)
        ]

    def _pick(self, data: st.DataObject, containers: list[FakeContainer]) -> FakeContainer:
        return self.world.containers[data.draw(st.sampled_from([c.name for c in containers]))]

    @precondition(lambda self: self._some(ready=False))
    @rule(data=st.data())
    def container_ready(self, data: st.DataObject) -> None:
        self.world.ready(self._pick(data, self._some(ready=False)))

    @precondition(lambda self: self._some(ready=False))
    @rule(data=st.data(), failure=st.sampled_from([None, b"ImportError"]))
    def container_fails_to_start(self, data: st.DataObject, failure: Any) -> None:
        container = self._pick(data, self._some(ready=False))
        self.world.lose(container, "exit code 1", failure)

    @precondition(lambda self: self._some(busy=True))
    @rule(
        data=st.data(),
        count=st.integers(1, 3),
        status=st.sampled_from(["ok", "ok", "error"]),
        seconds=st.sampled_from([0.0001, 0.005, 1.0]),
        position=st.integers(0, 2),
    )
    def finish_inputs(
        self, data: st.DataObject, count: int, status: ev.Status, seconds: float, position: int
    ) -> None:
        container = self._pick(data, self._some(busy=True))
        count = min(count, len(container.slots))
        self.world.finish(container, count, status=status, seconds=seconds, position=position)

    @precondition(lambda self: self._some(busy=True))
    @rule(data=st.data(), position=st.integers(0, 2))
    def input_is_overdue(self, data: st.DataObject, position: int) -> None:
        self.world.overdue(self._pick(data, self._some(busy=True)), position)

    @precondition(lambda self: self._some())
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 10.0, 100.0]))
    def container_is_in_time(self, data: st.DataObject, seconds: float) -> None:
        self.world.in_time(self._pick(data, self._some()), seconds)

    @precondition(lambda self: self.callers)
    @rule(data=st.data(), is_over=st.booleans())
    def call_is_awaited(self, data: st.DataObject, is_over: bool) -> None:
        """An input asks for outputs of a call, or has them."""
        call_id = data.draw(st.sampled_from(sorted(self.callers)))
        running = [job[1:] for c in self.world.containers.values() for job in c.executing]
        by = running[-1] if running else ("gone", 0)
        self.world.handle(ev.CallAwaited(caller="bob", call_id=call_id, by=by, is_over=is_over))

    @precondition(lambda self: self._some(busy=True))
    @rule(data=st.data())
    def container_is_stuck(self, data: st.DataObject) -> None:
        self.world.stuck(self._pick(data, self._some(busy=True)))

    @precondition(lambda self: self._some())
    @rule(data=st.data(), slots=st.integers(1, 4))
    def container_changes_its_slots(self, data: st.DataObject, slots: int) -> None:
        containers = [*self._some(), *self._some(ready=False)]
        self.world.reslot(self._pick(data, containers), slots)

    @rule(full=st.sets(st.sampled_from(POOLS)))
    def stalls_are_checked(self, full: set[str]) -> None:
        self.world.handle(ev.StallChecked(full=frozenset(full)))

    @precondition(lambda self: self._some(busy=True))
    @rule()
    def read_orders(self) -> None:
        for container in self._some(busy=True):
            self.world.read_orders(container)

    @precondition(lambda self: self._some(busy=True))
    @rule(data=st.data(), over_limit=st.booleans())
    def container_dies(self, data: st.DataObject, over_limit: bool) -> None:
        container = self._pick(data, self._some(busy=True))
        self.world.lose(container, "signal 9", over_limit=over_limit)

    @precondition(lambda self: self._some(busy=True) and self._some())
    @rule(data=st.data(), boot=st.booleans())
    def poison_spreads(self, data: st.DataObject, boot: bool) -> None:
        """The same inputs lose one container after the other."""
        pool_id = self._pick(data, self._some(busy=True)).pool_id
        for _ in range(9):
            for container in self._some(busy=True):
                if container.pool_id == pool_id:
                    self.world.lose(container, "signal 11")
            if boot and pool_id in self.world.ledger.pools:
                self.world.ready(pool_id=pool_id)

    @precondition(lambda self: self.world.containers)
    @rule(data=st.data())
    def drain_container(self, data: st.DataObject) -> None:
        left = [c for c in self.world.containers.values() if not c.is_retired]
        if left:
            self.world.drain(self._pick(data, left))

    @rule(data=st.data(), lease=st.integers(1, 50))
    def late_messages(self, data: st.DataObject, lease: int) -> None:
        """What comes from a container that is gone, or twice, changes nothing."""
        name = data.draw(st.sampled_from(["gone", *self.world.containers]))
        if name in self.world.containers and lease in self.world.ledger.containers[name].leases:
            return
        done = dict(self.world.outcomes)
        self.world.outputs(name, [(lease, "ok", b"late", 1.0)])
        self.world.handle(ev.LeasesReturned(container_id="gone", leases=[lease]))
        self.world.handle(ev.LeasesOverdue(container_id=name, leases=[lease]))
        self.world.handle(ev.ContainerStuck(container_id="gone"))
        assert self.world.outcomes == done

    @precondition(lambda self: self._some())
    @rule(data=st.data(), pool_id=st.sampled_from(POOLS))
    def says_hello_twice(self, data: st.DataObject, pool_id: str) -> None:
        """A container stays with its pool and keeps what it holds."""
        name = self._pick(data, self._some()).name
        if pool_id in self.world.ledger.pools:
            self.world.handle(ev.ContainerExpected(container_id=name, pool_id=pool_id))
            self.world.handle(ev.ContainerReady(container_id=name, pool_id=pool_id))

    @rule()
    def retired_leave(self) -> None:
        for container in [c for c in self.world.containers.values() if c.is_retired or c.is_killed]:
            self.world.lose(container, "ended")

    @rule()
    def start_containers(self) -> None:
        """The policy looks at everything, and what it starts gets ready."""
        for pool_id in list(self.world.ledger.pools):
            self._autoscale(pool_id)
        for container in self._some(ready=False):
            self.world.ready(container)

    # -- time and policy -------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 6.0, 100.0]), is_late=st.booleans())
    def time_passes(self, seconds: float, is_late: bool) -> None:
        """The ledger is woken when it wants to be, or some moments later."""
        if is_late:
            self.world.tick(min(seconds, 1.0))
        else:
            self.world.advance(seconds)

    @rule(
        data=st.data(),
        pool_id=st.sampled_from(POOLS),
        least=st.integers(0, 2),
        most=st.integers(2, 4),
        buffer=st.integers(0, 1),
        window=st.sampled_from([0.0, 0.5, 60.0]),
        deployed=st.booleans(),
    )
    def change_settings(
        self,
        data: st.DataObject,
        pool_id: str,
        least: int,
        most: int,
        buffer: int,
        window: float,
        deployed: bool,
    ) -> None:
        limits = autoscaler(least, most, buffer, window)
        shape = data.draw(st.sampled_from(SHAPES[pool_id]))
        self.world.define(pool_id, deployed=deployed, autoscaler=limits, **shape)

    @rule(pool_id=st.sampled_from(POOLS), cancel=st.booleans())
    def remove_pool(self, pool_id: str, cancel: bool) -> None:
        known = self.world.ledger.pools.get(pool_id)
        if known is not None and cancel:
            for container in self.world.containers.values():
                if container.pool_id == pool_id:
                    container.is_draining = True
            for caller in self.callers.values():
                caller.is_over = caller.is_over or caller.pool_id == pool_id
        self.world.handle(ev.PoolRemoved(pool_id=pool_id, cancel=cancel))

    @rule(pool_id=st.sampled_from(POOLS))
    def autoscale(self, pool_id: str) -> None:
        if pool_id in self.world.ledger.pools:
            self._autoscale(pool_id)

    def _autoscale(self, pool_id: str) -> None:
        pool = self.world.snapshot(pool_id, room=ROOM)
        memory = self.memory[pool_id]
        decision, self.memory[pool_id] = decide(pool, pool.settings, memory, self.world.now)
        assert decide(pool, pool.settings, memory, self.world.now)[0] == decision
        note(decision.reason)
        check_decision(pool, decision, self.world.now)
        for _ in range(decision.start):
            self.world.expect(pool_id)
        if decision.drain:
            self.world.drain(*(self.world.containers[name] for name in decision.drain))

    # -- the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        """Left alone, everything that was admitted comes to its end."""
        for step in range(STEPS_TO_REST):
            if not self.world.ledger.calls:
                break
            self._work(step)
        assert not self.world.ledger.calls, self.world.ledger.calls
        for pool in self.world.ledger.pools.values():
            counts = (pool.waiting, pool.retrying, pool.leased_live, pool.calls)
            assert counts == (0, 0, 0, 0)
        assert not self.world.ledger.book.dependent
        assert len(set(self.world.ended)) == len(self.world.ended)

    def _work(self, step: int) -> None:
        world = self.world
        world.advance(10.0)
        for caller in self.callers.values():
            self._put_more(caller, 0, caller.total)
            if caller.call_id in world.ledger.calls and caller.next >= caller.total:
                world.handle(ev.CallClosed(call_id=caller.call_id))
        for pool_id in list(world.ledger.pools):
            self._autoscale(pool_id)
        for container in list(world.containers.values()):
            if container.is_retired or container.is_killed:
                world.lose(container, "ended")
            elif not container.is_ready:
                world.ready(container)
            else:
                world.read_orders(container)
                if container.jobs:
                    world.finish(container)


def check_decision(pool: PoolSnapshot, decision: Decision, now: float) -> None:
    """What must hold of every decision."""
    limits = pool.settings
    room = pool.room if pool.room is not None else len(pool.containers) + decision.start
    most = min(room, limits.max_containers if limits.max_containers is not None else room)
    assert decision.desired <= most
    assert decision.desired >= min(limits.min_containers, room)
    assert not (decision.start and decision.drain), "grow or shrink, not both"
    assert len(pool.containers) + decision.start <= max(most, len(pool.containers))
    present = [c for c in pool.containers if c.state != "draining"]
    assert len(present) - len(decision.drain) >= min(decision.desired, len(present))
    by_name = {c.container_id: c for c in present}
    assert set(decision.drain) <= by_name.keys()
    if len(present) <= most and not pool.contended:
        for container in (by_name[name] for name in decision.drain):
            assert container.state == "idle", "a used container was drained for being idle"
            assert container.idle_since is not None
            assert now >= container.idle_since + limits.scaledown_window
    assert f"want {decision.desired}" in decision.reason


LedgerMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestLedgerMachine = LedgerMachine.TestCase
