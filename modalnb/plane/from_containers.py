"""What containers say to the plane, and how the plane notices that one is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb._dask_compat import send_at_once
from modalnb.core import events as ev

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin

#: How long the loss of a container waits for word of how its process ended.
FATE_SECONDS = 0.25
#: How long a worker that has arrived may take to greet.
HELLO_SECONDS = 10.0


class FromContainers:
    """The containers' side of a plane: one method for each message."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane
        #: Container ids by the addresses of their workers.
        self._ids: dict[str, str] = {}
        self._fates: dict[str, str] = {}
        #: Those of them that used more memory than they may.
        self._over_limit: set[str] = set()
        self._leaving: dict[str, asyncio.TimerHandle] = {}

    @property
    def handlers(self) -> dict[str, Callable[..., None]]:
        """The handler of each message."""
        return {
            m.HELLO: self._on_hello,
            m.PREPARED: self._on_prepared,
            m.OUTPUTS: self._on_outputs,
            m.RETURNED: self._on_returned,
            m.OVERDUE: self._on_overdue,
            m.IN_TIME: self._on_in_time,
            m.STUCK: self._on_stuck,
            m.SLOTS: self._on_slots,
            m.LEAVE: self._on_leave,
            m.YIELDS: self._on_yields,
            m.PRINTED: self._on_printed,
            m.USAGE: self._on_usage,
            m.DEVICES: self._on_devices,
            m.FATE: self._on_fate,
        }

    # -- life ------------------------------------------------------------------------------

    def _on_hello(
        self,
        *,
        worker: str,
        container_id: str,
        version: int,
        pid: int = 0,
        host: str = "",
        **more: Any,
    ) -> None:
        known = self._plane.scheduler.workers.get(worker)
        if known is None or container_id != str(known.name):
            raise ValueError(f"{worker} does not speak for container {container_id}")
        if version != m.PROTOCOL:
            text = f"its modalnb speaks protocol {version}, that of the scheduler {m.PROTOCOL}; "
            self.tell_fate(container_id, text + "install the same version on both")
            return
        self._plane.addresses[container_id] = worker
        self._ids[worker] = container_id
        self._plane.hellos[container_id] = {"pid": pid, "host": host, **more}
        self._plane.fleet.greeted(container_id)
        send_at_once(self._plane.scheduler.stream_comms[worker])
        if container_id in self._plane.ledger.containers:
            self.prepare(container_id)
        else:
            self._plane.enactor.wake(())

    def prepare(self, container_id: str) -> None:
        """Tell a container what it is for; it is ready at once unless something has to start."""
        pool = self._plane.ledger.containers[container_id].pool
        refusal = self._plane.fleet.equip(container_id, pool.settings)
        if refusal is not None:
            if self._plane.fleet.is_astray(container_id):
                # That is no failure of the function; the next one is put elsewhere.
                self._plane.apply(ev.DrainAsked(container_ids=(container_id,)))
            self._refuse(container_id, pool.id, refusal)
            return
        self._plane.enactor.configure(container_id, pool.settings)
        record = self._plane.registry.record(pool.id)
        if record is None or not record.is_service:
            self._plane.apply(ev.ContainerReady(container_id=container_id, pool_id=pool.id))
            return
        self._plane.enactor.send_code(container_id, {record.code})
        self._plane.send_to(
            container_id, {"op": m.PREPARE, "code": record.code, "init": record.init}
        )

    def _on_prepared(self, *, worker: str, failure: Any = None, story: str = "", **_: Any) -> None:
        container_id = self._ids.get(worker)
        container = self._plane.ledger.containers.get(container_id or "")
        if container_id is None or container is None:
            return
        pool_id = container.pool.id
        if failure is None:
            self._plane.apply(ev.ContainerReady(container_id=container_id, pool_id=pool_id))
            return
        self._refuse(container_id, pool_id, story, failure)

    def _refuse(self, container_id: str, pool_id: str, story: str, failure: Any = None) -> None:
        """A container is here and cannot do its work: end it."""
        self._plane.apply(
            ev.ContainerLost(
                container_id=container_id,
                story=self._story(container_id, f"it could not start: {story}"),
                failure=failure,
            )
        )
        self._plane.enactor.enact(ev.RetireContainer(container_id=container_id, pool_id=pool_id))

    def miss_hello(self, container_id: str) -> None:
        """A worker that should be a container has arrived; see that it greets."""
        expected = self._plane.ledger.containers.get(container_id)
        if expected is not None and expected.ready_at is None:
            self._plane.loop.call_later(HELLO_SECONDS, self._missed_hello, container_id)

    def _missed_hello(self, container_id: str) -> None:
        expected = self._plane.ledger.containers.get(container_id)
        is_silent = container_id not in self._plane.addresses
        if expected is not None and expected.ready_at is None and is_silent:
            story = "its worker came up without modalnb; is it installed there?"
            self.tell_fate(container_id, story)

    def disconnected(self, worker: str) -> None:
        """A container's stream has ended: wait a moment for word of how its process ended."""
        container_id = self._ids.pop(worker, None)
        if container_id is None:
            return
        self._plane.addresses.pop(container_id, None)
        if container_id in self._fates or not self._plane.supply.tells_fates:
            self._lose(container_id)
        else:
            self._leaving[container_id] = self._plane.loop.call_later(
                FATE_SECONDS, self._lose, container_id
            )

    def tell_fate(self, container_id: str, story: str, *, over_limit: bool = False) -> None:
        """The process of a container has ended in this way."""
        self._fates[container_id] = story
        if over_limit:
            self._over_limit.add(container_id)
        if container_id in self._leaving or container_id not in self._plane.addresses:
            self._lose(container_id)

    def _lose(self, container_id: str) -> None:
        timer = self._leaving.pop(container_id, None)
        if timer is not None:
            timer.cancel()
        plane = self._plane
        story = self._story(container_id, self._fates.pop(container_id, "its connection ended"))
        plane.hellos.pop(container_id, None)
        plane.usage.pop(container_id, None)
        plane.supply.leased.discard(container_id)
        plane.enactor.forget(container_id)
        plane.supply.tell({"lost": container_id})
        if not plane.supply.tells_fates:
            plane.fleet.ended(container_id)
        over_limit = container_id in self._over_limit
        self._over_limit.discard(container_id)
        plane.apply(ev.ContainerLost(container_id=container_id, story=story, over_limit=over_limit))

    def _story(self, container_id: str, what: str) -> str:
        facts = self._plane.hellos.get(container_id, {})
        where = f" (process {facts['pid']} on {facts['host']})" if facts else ""
        return f"container {container_id}{where}: {what}"

    # -- work ------------------------------------------------------------------------------

    def _on_outputs(self, *, worker: str, outputs: tuple[Any, ...], **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.OutputsReturned(container_id=container_id, outputs=outputs))

    def _on_returned(self, *, worker: str, leases: tuple[int, ...], **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.LeasesReturned(container_id=container_id, leases=leases))

    def _on_overdue(self, *, worker: str, leases: tuple[int, ...], **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.LeasesOverdue(container_id=container_id, leases=leases))

    def _on_in_time(self, *, worker: str, seconds: float, **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.ContainerInTime(container_id=container_id, seconds=seconds))

    def _on_stuck(self, *, worker: str, **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.ContainerStuck(container_id=container_id))

    def _on_slots(self, *, worker: str, slots: int, **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.SlotsChanged(container_id=container_id, slots=slots))

    def _on_leave(self, *, worker: str, **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.apply(ev.DrainAsked(container_ids=(container_id,)))

    def _on_yields(self, *, worker: str, items: tuple[Any, ...], **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.streams.pass_on(container_id, items)

    def _on_usage(self, *, worker: str, **usage: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self._plane.usage[container_id] = usage

    def _on_devices(self, *, worker: str, **told: Any) -> None:
        self._plane.fleet.tell(**told)

    def _on_fate(self, *, worker: str, story: str, over_limit: bool, **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self.tell_fate(container_id, story, over_limit=over_limit)

    # -- prints ----------------------------------------------------------------------------

    def _on_printed(self, *, worker: str, lines: tuple[Any, ...], **_: Any) -> None:
        container_id = self._ids.get(worker)
        if container_id is not None:
            self.print_lines(container_id, lines)

    def print_lines(self, container_id: str, lines: Iterable[tuple[Any, ...]]) -> None:
        """Pass (call id or None, stream, text) tuples on to the callers whom they concern."""
        self._plane.desk.keep_lines(container_id, lines)
        by_caller: dict[str, list[Any]] = {}
        for call_id, stream, text in lines:
            for caller, owner_id in self._listeners(container_id, call_id):
                by_caller.setdefault(caller, []).append((owner_id, container_id, stream, text))
        for caller, printed in by_caller.items():
            self._plane.reply(caller, kind="printed", lines=printed)

    def _listeners(self, container_id: str, call_id: str | None) -> list[tuple[str, str]]:
        plane = self._plane
        if call_id is None:
            return self._bystanders(container_id)
        call = plane.ledger.calls.get(call_id)
        kept = plane.keeper.calls.get(call_id)
        caller = call.caller if call else kept.owner if kept else None
        if caller is None:
            # A thread has outlived the input that started it.
            return plane.enactor.last_callers.get(container_id, [])
        return [(caller, call_id)]

    def _bystanders(self, container_id: str) -> list[tuple[str, str]]:
        """Who hears what a container prints outside of any input."""
        container = self._plane.ledger.containers.get(container_id)
        if container is not None and container.ready_at is None:
            # Whoever waits for it to start; each caller hears it once, whatever it has asked for.
            return list({c.caller: (c.caller, c.id) for c in container.pool.ready}.values())
        held = container.leases.values() if container else ()
        running = {(item.call.caller, item.call.id): None for item in held if item}
        return list(running) or self._plane.enactor.last_callers.get(container_id, [])
