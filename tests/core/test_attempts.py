"""Random attempts at the inputs of one function: batches, retries, timeouts and cancels.

The world reckons every fate a second time, so each step checks what the rules promise: one outcome
for each input, delays of the policy to the moment, batches that are full or have waited.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from modalnb.core import events as ev
from modalnb.settings import BatchSettings, Retries
from tests.core.containers import FakeContainer
from tests.core.world import World

STEPS_TO_REST = 500

batch_settings = st.builds(
    BatchSettings,
    max_batch_size=st.integers(1, 5),
    wait_ms=st.sampled_from([0, 100, 2000]),
    adaptive=st.booleans(),
)
policies = st.builds(
    Retries,
    max_retries=st.integers(0, 3),
    initial_delay=st.sampled_from([0.0, 0.5, 3.0]),
    backoff_coefficient=st.sampled_from([1.0, 2.0]),
    max_delay=st.sampled_from([1.0, 60.0]),
)
shapes = st.fixed_dictionaries(
    {
        "batch": st.none() | batch_settings,
        "retries": st.none() | policies,
        "max_inputs": st.integers(1, 3),
        "timeout": st.sampled_from([1.0, 30.0]),
        "single_use": st.sampled_from([False, False, True]),
    }
)


class AttemptsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.calls: list[str] = []

    @initialize(shape=shapes, containers=st.integers(1, 3))
    def begin(self, shape: dict[str, Any], containers: int) -> None:
        self.world.define(**shape)
        for _ in range(containers):
            self.world.ready()

    def _busy(self) -> list[FakeContainer]:
        return [c for c in self.world.containers.values() if c.jobs]

    def _pick(self, data: st.DataObject, containers: list[FakeContainer]) -> FakeContainer:
        return self.world.containers[data.draw(st.sampled_from([c.name for c in containers]))]

    @rule(count=st.integers(1, 8), code=st.sampled_from(["code", "code", "other"]))
    def put(self, count: int, code: str) -> None:
        self.calls.append(f"call-{len(self.calls)}")
        self.world.put(self.calls[-1], count, code=code)

    @rule(seconds=st.sampled_from([0.05, 0.1, 1.0, 3.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule()
    def advance_to_the_next_time(self) -> None:
        wake_at = self.world.ledger.wake_at(self.world.now)
        if wake_at is not None:
            self.world.advance(max(0.0, wake_at - self.world.now))

    @precondition(lambda self: self._busy())
    @rule(
        data=st.data(),
        statuses=st.lists(st.sampled_from(["ok", "error", "error", "cancelled"]), min_size=5),
        position=st.integers(0, 2),
        seconds=st.sampled_from([0.001, 0.02, 1.0]),
    )
    def work_ends(
        self, data: st.DataObject, statuses: list[ev.Status], position: int, seconds: float
    ) -> None:
        """A slot is empty; each input of a batch has an output of its own."""
        container = self._pick(data, self._busy())
        slots = container.slots
        ended = slots[min(position, len(slots) - 1)]
        for job in ended:
            container.jobs.remove(job)
        self.world.outputs(
            container.name,
            [
                (lease, status, b"y", seconds)
                for (lease, _, _), status in zip(ended, statuses, strict=False)
            ],
        )

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), position=st.integers(0, 2))
    def work_is_overdue(self, data: st.DataObject, position: int) -> None:
        self.world.overdue(self._pick(data, self._busy()), position)

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def container_is_stuck(self, data: st.DataObject) -> None:
        self.world.stuck(self._pick(data, self._busy()))

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def container_dies(self, data: st.DataObject) -> None:
        self.world.lose(self._pick(data, self._busy()))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), kill=st.booleans())
    def cancel(self, data: st.DataObject, kill: bool) -> None:
        self.world.cancel(data.draw(st.sampled_from(self.calls)), kill=kill)

    @rule()
    def containers_read_orders_and_leave(self) -> None:
        for container in list(self.world.containers.values()):
            if container.is_killed or container.is_retired:
                self.world.lose(container, "ended")
            else:
                self.world.read_orders(container)

    @precondition(lambda self: len(self.world.containers) < 5)
    @rule()
    def container_arrives(self) -> None:
        self.world.ready()

    @rule(shape=shapes)
    def change_settings(self, shape: dict[str, Any]) -> None:
        self.world.define(**shape)

    def teardown(self) -> None:
        """Left alone, everything ends."""
        for _ in range(STEPS_TO_REST):
            if not self.world.ledger.calls:
                break
            self.containers_read_orders_and_leave()
            if len(self.world.containers) < 3:
                self.world.ready()
            for container in self._busy():
                self.world.finish(container)
            self.world.advance(0.5)
        assert not self.world.ledger.calls
        assert sorted(self.world.ended) == sorted(self.calls)
        pool = self.world.ledger.pools.get("a/f")
        if pool is not None:
            assert (pool.waiting, pool.retrying, pool.leased_live) == (0, 0, 0)


AttemptsMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestAttemptsMachine = AttemptsMachine.TestCase
