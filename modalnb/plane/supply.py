"""What the cluster can give: its operator, who starts and ends containers, and each pool's part."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.core import observe
from modalnb.core.capacity import Capacity, Need, cpu_of
from modalnb.core.devices import wish_words
from modalnb.core.pools import Pool, mean
from modalnb.settings import FunctionSettings

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin


class Supply:
    """The operator's side of a plane."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane
        #: The client that starts and ends containers, and what it said of its cluster.
        self.operator: str | None = None
        self.tells_fates = False
        self.capacity = Capacity()
        #: Containers on workers that were here before and stay: they are taken back, not ended.
        self.leased: set[str] = set()
        self._cpu: dict[str, float] = {}

    @property
    def only_leases(self) -> bool:
        """Whether the operator hands out workers that are there, and can start none."""
        return self.operator is not None and self.capacity == Capacity()

    def tell(self, order: dict[str, Any]) -> None:
        """Send an order to the operator, if there is one."""
        if self.operator in self._plane.scheduler.client_comms:
            self._plane.scheduler.client_send(self.operator, {"op": m.OPERATE, "order": order})

    def client_left(self, client: str) -> None:
        """The operator's place becomes free; what it was starting will not come."""
        if client != self.operator:
            return
        self.operator = None
        unborn = [c.id for c in self._plane.ledger.containers.values() if c.ready_at is None]
        # That is no failure of the function.
        self._plane.apply(ev.DrainAsked(container_ids=tuple(unborn)))
        for name in unborn:
            self._plane.apply(ev.ContainerLost(container_id=name, story="its operator left"))
            self._plane.fleet.ended(name)

    def release(self, container_id: str) -> None:
        """A leased worker goes back to those without a pool, for whoever is short of them."""
        self.leased.discard(container_id)
        self._plane.apply(ev.ContainerLost(container_id=container_id, story="released"))
        self._plane.fleet.unequip(container_id)
        self._plane.enactor.wake(())

    def unassigned(self) -> list[str]:
        """Workers that are here and belong to no pool."""
        known = self._plane.ledger.containers
        return [name for name in self._plane.addresses if name not in known]

    # -- what pools may have ---------------------------------------------------------------

    def grants(self) -> dict[str, observe.Grant]:
        """What each pool may have."""
        pools, capacity = self._plane.ledger.pools, self.capacity
        if self.only_leases:
            # As many containers as there are workers, each with a core.
            workers = len(self._plane.addresses)
            capacity = Capacity(cores=workers, containers=workers)
        elif capacity.cores is None and capacity.containers is not None:
            capacity = replace(capacity, cores=capacity.containers)
        needs = {pool.id: self._need(pool) for pool in pools.values()}
        return observe.grants(pools.values(), needs, capacity)

    def _need(self, pool: Pool) -> Need:
        settings = pool.settings
        measured = self._measured_cpu(pool)
        cpu = 1.0 if self.only_leases else cpu_of(settings.cpu, measured)
        return self._plane.fleet.need(pool, Need(cpu=cpu, memory=self._memory_of(settings)))

    def _memory_of(self, settings: FunctionSettings) -> float:
        """What one container is taken to need, in MiB."""
        return self.capacity.memory_each if settings.memory is None else settings.memory

    def _measured_cpu(self, pool: Pool) -> float | None:
        for container in pool.containers.values():
            usage = self._plane.usage.get(container.id)
            if usage is not None and usage.pop("is_new", False):
                self._cpu[pool.id] = mean(self._cpu.get(pool.id), usage["cpu"])
        return self._cpu.get(pool.id)

    def refusal(self, function: str, settings: FunctionSettings) -> str | None:
        """Why no container of the function can ever be had here; None if one can."""
        if not settings.gpu and settings.memory is None:
            return None
        if self._plane.fleet.lacks(settings) and not settings.gpu_fallback:
            self._plane.fleet.refresh(older_than=0.0)
            return (
                f"`{function}` asks for {wish_words(settings.gpu)} in each container, which no "
                f"machine here has: there is {self._plane.fleet.words()}. Declare it with "
                '`gpu=None`, or set `modalnb.config.gpu_fallback = "cpu"` (environment '
                "`MODALNB_GPU_FALLBACK=cpu`) to run it without."
            )
        memory, total = self._memory_of(settings), self.capacity.memory
        if total is not None and memory > total:
            return (
                f"`{function}` asks for {memory:,.0f} MiB of memory in each container, but this "
                f"machine has {total:,.0f} MiB for all of them. Declare it with less `memory`."
            )
        return None

    def _answer_lacks(self, pool_id: str) -> str | None:
        """What there is in place of the devices that a pool asks for; None if it gets them."""
        settings = self._plane.catalog.record(pool_id).effective
        return self._plane.fleet.words() if self._plane.fleet.lacks(settings) else None

    # -- from the operator -----------------------------------------------------------------

    def _answer_operate(
        self,
        client: str,
        capacity: dict[str, Any],
        tells_fates: bool,
        devices: dict[str, Any] | None = None,
    ) -> bool:
        offered = Capacity(**capacity)
        if self.operator not in (None, client):
            if offered == Capacity() or not self.only_leases:
                return False
            self.tell({"replaced": client})
        self.operator, self.capacity, self.tells_fates = client, offered, tells_fates
        self._plane.fleet.operated(offered.is_elastic, devices)
        self._plane.enactor.wake(list(self._plane.ledger.pools))
        return True

    def _answer_pools(self, pool_ids: list[str] | None = None) -> dict[str, Any]:
        pools = self._plane.desk.snapshots(time.monotonic(), pool_ids)
        asked = [self._plane.ledger.pools[pool.pool_id].settings for pool in pools]
        able = [
            name
            for name in self.unassigned()
            if all(self._plane.fleet.would_do(name, settings) for settings in asked)
        ]
        return {"pools": [pool.to_dict() for pool in pools], "unassigned": able}

    def _answer_expect(self, pool_id: str, container_ids: list[str]) -> dict[str, Any]:
        """The operator starts these containers; those that are here already get to work.

        Two pools may have decided on the same free room, so what no longer fits is left out.
        """
        plane = self._plane
        pool = plane.ledger.pools.get(pool_id)
        if pool is None:
            return {"names": [], "memory_limit": None, "hosts": {}}
        fresh = [name for name in container_ids if name not in plane.ledger.containers]
        room = self.grants()[pool_id].room
        if room is not None:
            fresh = fresh[: max(0, room - len(pool.containers))]
        fresh = [name for name in fresh if plane.fleet.reserve(name, pool.settings)]
        for name in fresh:
            is_here = name in plane.addresses
            if is_here and not self.tells_fates:
                self.leased.add(name)
            plane.apply(ev.ContainerExpected(container_id=name, pool_id=pool_id))
            if is_here:
                plane.from_containers.prepare(name)
        return {
            "names": fresh,
            "memory_limit": pool.settings.memory_limit,
            "hosts": {name: host for name in fresh if (host := plane.fleet.reserved_on(name))},
        }

    def _answer_drain(self, container_ids: list[str]) -> None:
        self._plane.apply(ev.DrainAsked(container_ids=tuple(container_ids)))

    def _answer_fate(self, container_id: str, story: str, over_limit: bool = False) -> None:
        self._plane.from_containers.tell_fate(container_id, story, over_limit=over_limit)
        self._plane.fleet.ended(container_id)

    def _answer_printed(self, container_id: str, lines: list[tuple[Any, ...]]) -> None:
        self._plane.from_containers.print_lines(container_id, lines)

    def _answer_devices(self, **told: Any) -> None:
        self._plane.fleet.tell(**told)

    def _answer_decided(self, pool_id: str, decision: dict[str, Any]) -> None:
        record = self._plane.registry.record(pool_id)
        if record is not None:
            record.reason = decision["reason"]
            record.decisions.append(decision)
