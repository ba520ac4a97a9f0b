"""The GPUs of all hosts as the plane knows them: what there is, how it does, and who has what."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core.capacity import Need
from modalnb.core.devices import DeviceBook, fits, wish_words
from modalnb.core.pools import Pool
from modalnb.resources import split_wish
from modalnb.settings import FunctionSettings
from modalnb.snapshot import DeviceStats

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin

#: A reading this old is taken again when somebody asks, and shown no longer after that.
FRESH_SECONDS = 1.0
STALE_SECONDS = 5.0
#: Whoever asks waits so long for a new reading, and a host is asked again after so long.
WAIT_SECONDS = 0.5
ASK_AGAIN_SECONDS = 10.0

#: What numeric libraries read to know how many threads to start.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Fleet:
    """The devices of a cluster; costs nothing while nobody asks."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane
        self.book = DeviceBook()
        #: The host of the operator, whose devices it tells; the others' containers tell.
        self.operator_host: str | None = None
        #: Hosts may join that are not known yet, and bring devices.
        self.is_elastic = False
        self._errors: dict[str, str] = {}
        self._told_at: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._waiting: list[asyncio.Future[None]] = []
        #: What a process that is leased again and again can see, once it was told.
        self._seen: dict[str, tuple[str, ...]] = {}
        self._equipped: set[str] = set()
        #: When the first container that the operator had started came up on each host.
        self._landed: dict[str, float] = {}
        self._cores = itertools.count()

    # -- news ------------------------------------------------------------------------------

    def operated(self, is_elastic: bool, told: dict[str, Any] | None) -> None:
        """There is an operator; it tells of the devices of its host if containers are there."""
        self.is_elastic = is_elastic
        self.operator_host = None
        if told is not None:
            self.operator_host = told["host"]
            self.tell(**told)
        self._forget_hosts()

    def tell(self, host: str, devices: Iterable[dict[str, Any]], error: str | None = None) -> None:
        """These are the devices of a host now, or why they are not known."""
        self._asked_at.pop(host, None)
        self._told_at[host] = time.monotonic()
        if error is None:
            self._errors.pop(host, None)
        else:
            # What is known of its devices stays: that the driver is silent does not stop them.
            self._errors[host] = error
            self._plane.loop.call_later(ASK_AGAIN_SECONDS, self.refresh)
        before = self._usable(host)
        if error is None or not before:
            self.book.tell(host, [DeviceStats(host=host, **facts) for facts in devices])
        if not self._pending():
            for future in self._waiting:
                _resolve(future)
        if self._usable(host) != before:
            self._plane.enactor.wake(self._gpu_pools())

    def _usable(self, host: str) -> set[str]:
        return {device.uuid for device in self.book.devices(host) if not device.error}

    def _gpu_pools(self) -> list[str]:
        return [pool.id for pool in self._plane.ledger.pools.values() if pool.settings.gpu]

    def greeted(self, container_id: str) -> None:
        """A container has come up and said what its host has; the operator's own say nothing."""
        facts = self._plane.hellos[container_id]
        if facts.get("devices") is not None:
            self.tell(facts["host"], facts["devices"], facts.get("device_error"))
        expected = self._plane.ledger.containers.get(container_id)
        if expected is not None and not self._plane.supply.tells_fates:
            self._landed.setdefault(facts["host"], time.monotonic())
            self._plane.supply.tell({"greeted": (container_id, facts["host"])})

    def ended(self, container_id: str) -> None:
        """The process of a container is no more: what it had is free."""
        self._seen.pop(container_id, None)
        self._equipped.discard(container_id)
        if self.book.release(container_id):
            self._plane.enactor.wake(self._gpu_pools())
        self._forget_hosts()

    def _forget_hosts(self) -> None:
        hosts = {facts["host"] for facts in self._plane.hellos.values()} | {self.operator_host}
        for host in self._told_at.keys() - hosts:
            self.book.forget(host)
            for known in (self._told_at, self._asked_at, self._errors):
                known.pop(host, None)

    # -- asking ----------------------------------------------------------------------------

    def refresh(self, *, older_than: float = FRESH_SECONDS) -> None:
        """Ask the hosts that have devices how these do, if that is not known well enough."""
        now = time.monotonic()
        for host, told_at in self._told_at.items():
            asked_at = self._asked_at.get(host, -math.inf)
            is_of_interest = self.book.devices(host) or host in self._errors
            if is_of_interest and now - told_at > older_than and now - asked_at > ASK_AGAIN_SECONDS:
                self._asked_at[host] = now
                self._ask(host)

    def _ask(self, host: str) -> None:
        if host == self.operator_host:
            self._plane.supply.tell({"look": host})
            return
        for container_id, facts in self._plane.hellos.items():
            if facts["host"] == host and facts.get("devices") is not None:
                self._plane.send_to(container_id, {"op": m.LOOK})
                return

    def _pending(self) -> bool:
        """Whether an answer is to be expected soon."""
        now = time.monotonic()
        return any(now - asked_at < WAIT_SECONDS for asked_at in self._asked_at.values())

    def when_fresh(self, make: Callable[[], Any], *, older_than: float = FRESH_SECONDS) -> Any:
        """What `make` returns, at once or as a future, when the devices were asked just now."""
        self.refresh(older_than=older_than)
        if not self._pending():
            return make()
        loop = self._plane.loop
        told: asyncio.Future[None] = loop.create_future()
        self._waiting.append(told)
        timer = loop.call_later(WAIT_SECONDS, _resolve, told)
        answer: asyncio.Future[Any] = loop.create_future()

        def finish(_: asyncio.Future[None]) -> None:
            timer.cancel()
            self._waiting.remove(told)
            answer.set_result(make())

        told.add_done_callback(finish)
        return answer

    def stats(self) -> tuple[DeviceStats, ...]:
        """All devices; what was read too long ago, or cannot be read, counts as unknown."""
        return tuple(self._as_known(device) for device in self.book.devices())

    def _as_known(self, device: DeviceStats) -> DeviceStats:
        error = device.error or self._errors.get(device.host)
        age = time.monotonic() - self._told_at[device.host]
        if error is None and age < STALE_SECONDS:
            return device
        return replace(device, utilization=None, memory_used=None, error=error)

    def errors(self) -> tuple[str, ...]:
        """Hosts whose driver cannot be asked, and why."""
        return tuple(f"{host}: {error}" for host, error in sorted(self._errors.items()))

    def words(self) -> str:
        """What there is, for people."""
        found = self.book.words()
        return "; ".join([found, *self.errors()]) if found == "no GPU" else found

    # -- for the pools ---------------------------------------------------------------------

    def lacks(self, settings: FunctionSettings) -> bool:
        """Whether the function asks for devices that no host has, busy or not."""
        return bool(settings.gpu) and not self.is_elastic and not self.book.exists(settings.gpu)

    def _goes_without(self, settings: FunctionSettings) -> bool:
        return not settings.gpu or (settings.gpu_fallback and self.lacks(settings))

    def need(self, pool: Pool, need: Need) -> Need:
        """How far the free devices would go for a pool, and who holds others that would do."""
        gpu = pool.settings.gpu
        if self._goes_without(pool.settings) or self.is_elastic:
            return need
        supply, containers = self._plane.supply, self._plane.ledger.containers
        if supply.only_leases:
            able = [name for name in supply.unassigned() if self.would_do(name, pool.settings)]
            hosts = {self._plane.hellos[name]["host"] for name in able}
            more = min(len(able), self.book.more(gpu, hosts))
        else:
            more = self.book.more(gpu)
        rivals = {containers[c].pool.id for c in self.book.holders(gpu) if c in containers}
        return replace(need, devices=more, words=self._room_words(gpu), rivals=frozenset(rivals))

    def _room_words(self, gpu: tuple[str, ...]) -> str:
        fitting = [device for device in self.book.devices() if fits(gpu, device)]
        free = sum(device.container_id is None and not device.error for device in fitting)
        held = sum(device.container_id is not None for device in fitting)
        kinds = wish_words(tuple(split_wish(wish)[0] for wish in gpu))
        return f"{free} free {kinds}" + (f" beside {held} in use" if held else "")

    def would_do(self, container_id: str, settings: FunctionSettings) -> bool:
        """Whether a process that runs already could be given what a container needs."""
        if self._goes_without(settings):
            return True
        host = self._plane.hellos[container_id]["host"]
        only = self._seen.get(container_id)
        return self.book.more(settings.gpu, [host], only=only) > 0

    # -- for a container -------------------------------------------------------------------

    def reserve(self, container_id: str, settings: FunctionSettings) -> bool:
        """Keep devices for a container that is about to start; False if there are none free."""
        facts = self._plane.hellos.get(container_id)
        if self._goes_without(settings):
            return True
        if facts is None and self.is_elastic:
            # Where it will come up, and what is there, shows when it greets.
            return True
        return self._assign(container_id, settings, facts["host"] if facts else self.operator_host)

    def reserved_on(self, container_id: str) -> str | None:
        """The host whose devices a container is to have."""
        return next((device.host for device in self.book.held(container_id)), None)

    def _assign(self, container_id: str, settings: FunctionSettings, host: str | None) -> bool:
        only = self._seen.get(container_id)
        given = self.book.assign(container_id, settings.gpu, host=host, only=only)
        return given is not None

    def equip(self, container_id: str, settings: FunctionSettings) -> str | None:
        """Give a container that has greeted its devices and threads; says why if that fails."""
        host = self._plane.hellos[container_id]["host"]
        held = self.book.held(container_id)
        if held and held[0].host != host:
            self.book.release(container_id)
        if not self._goes_without(settings) and not self._assign(container_id, settings, host):
            return f"{host} has no {wish_words(settings.gpu)} free; there is {self.words()}"
        self._send_equipment(container_id, settings)
        return None

    def is_astray(self, container_id: str) -> bool:
        """Whether nobody could know on which host it would come up when it was started."""
        container = self._plane.ledger.containers[container_id]
        landed_at = self._landed.get(self._plane.hellos[container_id]["host"], -math.inf)
        return not self.is_elastic and container.started_at <= landed_at

    def _send_equipment(self, container_id: str, settings: FunctionSettings) -> None:
        uuids = tuple(device.uuid for device in self.book.held(container_id))
        host = self._plane.hellos[container_id]["host"]
        env: dict[str, str] = {}
        if uuids or self.book.devices(host):
            # Without this, a process would see every device of its host.
            env["CUDA_VISIBLE_DEVICES"] = ",".join(uuids)
            if uuids:
                self._seen[container_id] = uuids
        if settings.cpu is not None:
            env |= dict.fromkeys(_THREADS, str(math.ceil(settings.cpu)))
        message = {
            "env": env,
            "cores": self._cores_for(settings.cpu_limit),
            "memory_limit": settings.memory_limit,
        }
        if any(message.values()) or container_id in self._equipped:
            self._equipped.add(container_id)
            self._plane.send_to(container_id, {"op": m.EQUIP, **message})

    def _cores_for(self, limit: float | None) -> tuple[int, int] | None:
        """Which cores a container keeps to: where to begin, so that they spread, and how many."""
        if limit is None:
            return None
        count = math.ceil(limit)
        return next(self._cores) * count, count

    def unequip(self, container_id: str) -> None:
        """A leased worker goes back to whoever started it."""
        if self.book.release(container_id):
            self._plane.enactor.wake(self._gpu_pools())
        if container_id in self._equipped:
            self._equipped.discard(container_id)
            nothing: dict[str, Any] = {"env": {}, "cores": None, "memory_limit": None}
            self._plane.send_to(container_id, {"op": m.EQUIP, **nothing})

    def gpus(self, container_id: str) -> tuple[str, ...]:
        """The uuids of a container's devices."""
        return tuple(device.uuid for device in self.book.held(container_id))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
