"""A pool under its real policy on a virtual clock: what happens when, and how large it is then."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from modalnb.core import events as ev
from modalnb.core.autoscaling import Decision, Memory, decide
from modalnb.settings import AutoscalerSettings
from tests.core.containers import FakeContainer
from tests.core.world import World

#: How often the live autoscaler looks when nothing wakes it.
INTERVAL = 1.0


class Scenario:
    """Containers that take `boot` seconds to start and `service` seconds for an input."""

    def __init__(
        self,
        autoscaler: AutoscalerSettings,
        *,
        boot: float = 0.5,
        service: float = 1.0,
        room: int | None = None,
        **settings: Any,
    ) -> None:
        self.world = World()
        self.boot = boot
        self.service = service
        self.room = room
        #: Set to make every start fail.
        self.is_broken = False
        self.started_at: list[float] = []
        self.decisions: list[Decision] = []
        self._settings = settings
        self._memory = Memory()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._begun: set[int] = set()
        self._wake_at = float("inf")
        self._tick_at = 0.0
        self._calls = 0
        self.configure(autoscaler)
        self.at(0.0, self._interval)

    # -- what happens ----------------------------------------------------------------------

    def at(self, time: float, step: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (time, next(self._order), step))

    def configure(self, autoscaler: AutoscalerSettings) -> None:
        self.world.define(autoscaler=autoscaler, **self._settings)

    def put(self, inputs: int = 1) -> None:
        self._calls += 1
        self.world.put(f"call-{self._calls}", inputs)

    def loop(self) -> None:
        """A caller that puts one input, and the next one when it has its output."""
        self.put()
        name = f"call-{self._calls}"
        self.when_done(name, self.loop)

    def when_done(self, call_id: str, step: Callable[[], None]) -> None:
        if call_id in self.world.ended:
            step()
        else:
            self.at(self.world.now + self.service / 8, lambda: self.when_done(call_id, step))

    # -- what is seen ----------------------------------------------------------------------

    @property
    def size(self) -> int:
        return sum(not c.is_draining for c in self.world.containers.values())

    def sizes(self, *times: float) -> list[int]:
        """How many containers there are at these times."""
        return [self._size_at(time) for time in times]

    def _size_at(self, time: float) -> int:
        while self._agenda and self._agenda[0][0] <= time:
            self.world.now, _, step = heapq.heappop(self._agenda)
            step()
            self._settle()
        return self.size

    # -- the surroundings ------------------------------------------------------------------

    def _settle(self) -> None:
        """Let policy and containers react until nothing more happens at this instant."""
        while self.world.woken or self._gone():
            self.world.woken.clear()
            for container in self._gone():
                self.world.lose(container, "ended")
            self._decide()
        for container in self.world.containers.values():
            for (lease, _, _), *_ in container.slots:
                if lease not in self._begun:
                    self._begun.add(lease)
                    self.at(self.world.now + self.service, self._finisher(container, lease))
        self._plan_tick()

    def _gone(self) -> list[FakeContainer]:
        return [c for c in self.world.containers.values() if c.is_retired or c.is_killed]

    def _plan_tick(self) -> None:
        """Look again when the ledger wants to."""
        wake_at = self.world.ledger.wake_at(self.world.now)
        if wake_at is not None and not self.world.now < self._tick_at <= wake_at:
            self._tick_at = wake_at
            self.at(wake_at, lambda: self.world.handle(ev.Tick()))

    def _finisher(self, container: FakeContainer, lease: int) -> Callable[[], None]:
        def finish() -> None:
            leases = [slot[0][0] for slot in container.slots]
            if lease in leases:
                self.world.finish(container, seconds=self.service, position=leases.index(lease))

        return finish

    def _decide(self) -> None:
        pool = self.world.snapshot(room=self.room)
        decision, self._memory = decide(pool, pool.settings, self._memory, self.world.now)
        self.decisions.append(decision)
        for _ in range(decision.start):
            container = self.world.expect()
            self.started_at.append(self.world.now)
            self.at(self.world.now + self.boot, self._booter(container))
        if decision.drain:
            self.world.drain(*(self.world.containers[name] for name in decision.drain))
        if decision.wake_at is not None and decision.wake_at != self._wake_at:
            self._wake_at = decision.wake_at
            self.at(decision.wake_at, self._decide)

    def _booter(self, container: FakeContainer) -> Callable[[], None]:
        def boot() -> None:
            if container.name not in self.world.containers:
                return
            if self.is_broken:
                self.world.lose(container, "exit code 1")
            else:
                self.world.ready(container)

        return boot

    def _interval(self) -> None:
        self._decide()
        self.at(self.world.now + INTERVAL, self._interval)
