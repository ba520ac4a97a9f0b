"""The state machine of calls, inputs and containers: one event in, instructions out.

An input is pending → running → done, and back to pending when its container is lost; every
admitted input gets exactly one outcome, and no event costs more when more inputs are queued.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from modalnb.core import events as ev
from modalnb.core.admission import admit
from modalnb.core.outbox import Outbox
from modalnb.core.placement import prefetch_depth
from modalnb.core.records import Call, Container, Input, Pool, mean
from modalnb.settings import AutoscalerSettings, Limits

#: An input that was lost with its container this often is given up.
MAX_LOSSES = 8
#: After this many failed starts in a row, callers are told instead of left waiting.
MAX_BOOT_FAILURES = 3
#: Inputs held behind one that runs this many seconds, and so many means, longer are recalled.
PATIENCE_SECONDS = 0.02
PATIENCE_MEANS = 4
#: A container that still works on a cancelled input after so many seconds is replaced.
CANCEL_GRACE = 5.0
#: Settings of a pool whose function is no more.
LEAVING = AutoscalerSettings(scaledown_window=0)


class Ledger:
    """Every pool, call, input and container of an engine.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.handle(ev.PoolDefined(pool_id="p", settings=FunctionSettings()), now=0.0)
    [PoolChanged(pool_id='p')]
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.pools: dict[str, Pool] = {}
        self.calls: dict[str, Call] = {}
        self.containers: dict[str, Container] = {}
        self._live_calls: dict[str, set[str]] = {}
        self._lease_ids = count(1)
        #: Containers that hold inputs ahead; only these need ticks.
        self._ahead: set[Container] = set()
        #: When containers that work on cancelled inputs are replaced.
        self._grace: dict[Container, float] = {}
        self._handlers: dict[type[ev.Event], Callable[[Any, float, Outbox], None]] = {
            ev.PoolDefined: self._handle_pool_defined,
            ev.PoolRemoved: self._handle_pool_removed,
            ev.InputsPut: self._handle_inputs_put,
            ev.CallClosed: self._handle_call_closed,
            ev.CallCancelled: self._handle_call_cancelled,
            ev.CallerGone: self._handle_caller_gone,
            ev.ContainerExpected: self._handle_container_expected,
            ev.ContainerReady: self._handle_container_ready,
            ev.ContainerLost: self._handle_container_lost,
            ev.DrainAsked: self._handle_drain_asked,
            ev.OutputsReturned: self._handle_outputs_returned,
            ev.LeasesReturned: self._handle_leases_returned,
            ev.Tick: self._handle_tick,
        }

    def handle(self, event: ev.Event, now: float) -> list[ev.Instruction]:
        """Take in one event and return what the shell must do, in order."""
        out = Outbox()
        self._handlers[type(event)](event, now, out)
        return out.instructions()

    @property
    def wants_ticks(self) -> bool:
        """Whether a :class:`~modalnb.core.events.Tick` could change anything."""
        return bool(self._ahead or self._grace)

    # -- pools -----------------------------------------------------------------------------

    def _handle_pool_defined(self, event: ev.PoolDefined, now: float, out: Outbox) -> None:
        pool = self.pools.get(event.pool_id)
        if pool is None:
            self.pools[event.pool_id] = Pool(event.pool_id, event.settings)
        else:
            pool.settings = event.settings
            pool.is_leaving = False
            self._place(pool, now, out)
        out.pool_changed(event.pool_id)

    def _handle_pool_removed(self, event: ev.PoolRemoved, now: float, out: Outbox) -> None:
        pool = self.pools.get(event.pool_id)
        if pool is None:
            return
        pool.is_leaving = True
        pool.settings = replace(pool.settings, autoscaler=LEAVING)
        if event.cancel:
            for call in [call for call in self.calls.values() if call.pool is pool]:
                self._cancel(call, now, out)
            self._drain(list(pool.containers.values()), out)
        out.pool_changed(pool.id)
        self._forget_if_empty(pool, out)

    def _forget_if_empty(self, pool: Pool, out: Outbox) -> None:
        if pool.is_leaving and not pool.containers and not pool.waiting:
            self.pools.pop(pool.id, None)
            out.pool_gone(pool.id)

    # -- calls -----------------------------------------------------------------------------

    def _handle_inputs_put(self, event: ev.InputsPut, now: float, out: Outbox) -> None:
        call = self.calls.get(event.call_id)
        if call is None:
            if event.start:
                self._turn_away(event, out)
                return
            pool = self.pools[event.pool_id]
            call = Call(event.call_id, pool, event.code, event.caller, event.kind)
        pool = call.pool
        admission = admit(
            len(event.payloads),
            kind=call.kind,
            waiting=pool.waiting_live,
            waiting_durable=pool.waiting_durable,
            leased=pool.leased_live,
            limits=self.limits,
        )
        taken = admission.admitted
        refused = len(event.payloads) - taken
        if refused:
            out.refuse(call.caller, call.id, event.start + taken, refused, admission)
            if not event.patient and not taken and not call.admitted:
                out.end(call)
                return
        self._open(call, event)
        call.closed = event.closed and (not refused or not event.patient)
        call.admitted += taken
        pool.enqueue(
            call,
            [Input(call, event.start + n, event.payloads[n]) for n in range(taken)],
        )
        if not refused and call.kind == "durable":
            out.accept(call.caller, call.id, taken)
        self._place(pool, now, out)
        self._end_if_done(call, out)
        if pool.ready:
            out.pool_changed(pool.id)

    def _turn_away(self, event: ev.InputsPut, out: Outbox) -> None:
        """Inputs that arrive for a call which was cancelled meanwhile are cancelled too."""
        for n, payload in enumerate(event.payloads, event.start):
            out.spent(payload)
            out.output(event.caller, "live", event.call_id, n, "cancelled", None)

    def _open(self, call: Call, event: ev.InputsPut) -> None:
        if call.id in self.calls:
            return
        call.patient = event.patient
        call.parent = event.parent
        self.calls[call.id] = call
        if call.kind == "live":
            self._live_calls.setdefault(call.caller, set()).add(call.id)

    def _handle_call_closed(self, event: ev.CallClosed, now: float, out: Outbox) -> None:
        if call := self.calls.get(event.call_id):
            call.closed = True
            self._end_if_done(call, out)

    def _handle_call_cancelled(self, event: ev.CallCancelled, now: float, out: Outbox) -> None:
        if call := self.calls.get(event.call_id):
            self._cancel(call, now, out)

    def _handle_caller_gone(self, event: ev.CallerGone, now: float, out: Outbox) -> None:
        for call_id in list(self._live_calls.get(event.caller, ())):
            self._cancel(self.calls[call_id], now, out)

    def _cancel(self, call: Call, now: float, out: Outbox) -> None:
        for item in call.pool.drop_waiting(call):
            self._settle(item, "cancelled", None, out)
        if call.leased:
            for container in call.pool.containers.values():
                self._cancel_leases(container, call, now, out)
        call.closed = True
        self._end_if_done(call, out)

    def _cancel_leases(self, container: Container, call: Call, now: float, out: Outbox) -> None:
        leases = [n for n, item in container.leases.items() if item and item.call is call]
        if not leases:
            return
        for lease in leases:
            item = container.leases[lease]
            # The slot stays taken until the container says that it is free again.
            container.leases[lease] = None
            assert item is not None
            self._unlease(item)
            self._settle(item, "cancelled", None, out)
        self._grace[container] = now + CANCEL_GRACE
        out.cancel(container.id, leases)

    def _settle(self, item: Input, status: ev.Status, payload: Any, out: Outbox) -> None:
        """Give an input its one outcome."""
        call = item.call
        call.done += 1
        call.pool.done += 1
        call.pool.failed += status != "ok"
        out.spent(item.payload)
        out.output(call.caller, call.kind, call.id, item.index, status, payload)

    def _end_if_done(self, call: Call, out: Outbox) -> None:
        if call.is_ended and self.calls.pop(call.id, None):
            if call.kind == "live":
                mates = self._live_calls[call.caller]
                mates.discard(call.id)
                if not mates:
                    del self._live_calls[call.caller]
            out.end(call)

    # -- containers ------------------------------------------------------------------------

    def _handle_container_expected(
        self, event: ev.ContainerExpected, now: float, out: Outbox
    ) -> None:
        pool = self.pools.get(event.pool_id)
        if pool is None:
            out.retire(event.container_id, event.pool_id)
            return
        container = Container(event.container_id, pool, now)
        self.containers[container.id] = pool.containers[container.id] = container

    def _handle_container_ready(self, event: ev.ContainerReady, now: float, out: Outbox) -> None:
        container = self.containers.get(event.container_id)
        if container is None:
            self._handle_container_expected(
                ev.ContainerExpected(container_id=event.container_id, pool_id=event.pool_id),
                now,
                out,
            )
            container = self.containers.get(event.container_id)
        if container is None or container.draining:
            return
        pool = container.pool
        container.ready_at = container.idle_since = now
        pool.mean_boot = mean(pool.mean_boot, now - container.started_at)
        pool.boot_failures = 0
        pool.slots.place(container, 0)
        self._place(pool, now, out)

    def _handle_container_lost(self, event: ev.ContainerLost, now: float, out: Outbox) -> None:
        container = self.containers.pop(event.container_id, None)
        if container is None:
            return
        pool = container.pool
        pool.containers.pop(container.id, None)
        pool.slots.remove(container)
        self._ahead.discard(container)
        self._grace.pop(container, None)
        if container.ready_at is None and not container.draining:
            self._boot_failed(pool, event.story, now, out)
        self._requeue(container, event.story, out)
        self._place(pool, now, out)
        out.pool_changed(pool.id)
        self._forget_if_empty(pool, out)

    def _requeue(self, container: Container, story: str, out: Outbox) -> None:
        """Put the inputs of a lost container first again; only those that ran are charged."""
        held = list(container.leases.values())
        running = held[: container.running]
        container.leases.clear()
        for position in range(len(held) - 1, -1, -1):
            item = held[position]
            if item is None:
                continue
            self._unlease(item)
            item.is_suspect = True
            if position < len(running):
                item.losses = (*item.losses, story)
            if len(item.losses) >= MAX_LOSSES:
                self._settle(item, "lost", item.losses, out)
                self._end_if_done(item.call, out)
            else:
                container.pool.enqueue_front(item)

    def _boot_failed(self, pool: Pool, story: str, now: float, out: Outbox) -> None:
        pool.boot_failures += 1
        pool.boot_failed_at = now
        pool.boot_stories = (*pool.boot_stories, story)[-MAX_BOOT_FAILURES:]
        works = any(c.ready_at is not None for c in pool.containers.values())
        if pool.boot_failures < MAX_BOOT_FAILURES or works:
            return
        while pool.ready:
            item = pool.take()
            self._settle(item, "lost", pool.boot_stories, out)
            self._end_if_done(item.call, out)

    def _handle_drain_asked(self, event: ev.DrainAsked, now: float, out: Outbox) -> None:
        named = (self.containers.get(container_id) for container_id in event.container_ids)
        self._drain([c for c in named if c is not None], out)

    def _drain(self, containers: list[Container], out: Outbox) -> None:
        for container in containers:
            if container.draining:
                continue
            container.draining = True
            container.pool.slots.remove(container)
            self._recall(container, out)
            if not container.leases:
                out.retire(container.id, container.pool.id)

    # -- leases ----------------------------------------------------------------------------

    def _place(self, pool: Pool, now: float, out: Outbox) -> None:
        """Lease waiting inputs to containers until either runs out."""
        if not pool.ready or not len(pool.slots):
            return
        settings = pool.settings
        depth = prefetch_depth(pool.mean_duration)
        while pool.ready:
            ahead = 0 if pool.next_is_suspect else depth
            container = pool.slots.choose(settings.target_inputs, settings.max_inputs, ahead)
            if container is None:
                return
            self._lease(container, pool.take(), now, out)

    def _lease(self, container: Container, item: Input, now: float, out: Outbox) -> None:
        pool = container.pool
        lease = next(self._lease_ids)
        if not container.leases:
            container.idle_since = None
            container.running_since = now
        container.leases[lease] = item
        held = len(container.leases)
        if item.is_suspect and held >= pool.settings.max_inputs:
            # Nothing is held behind an input that may have killed a container.
            pool.slots.remove(container)
        else:
            pool.slots.place(container, held)
        if held > pool.settings.max_inputs:
            self._ahead.add(container)
        item.call.leased += 1
        pool.leased_live += item.call.kind == "live"
        out.run(container.id, lease, item)

    def _unlease(self, item: Input) -> None:
        item.call.leased -= 1
        item.call.pool.leased_live -= item.call.kind == "live"

    def _handle_outputs_returned(self, event: ev.OutputsReturned, now: float, out: Outbox) -> None:
        container = self.containers.get(event.container_id)
        if container is None:
            return
        pool = container.pool
        for lease, status, payload, seconds in event.outputs:
            if lease not in container.leases:
                continue
            item = container.leases.pop(lease)
            container.done += 1
            if item is None:
                continue
            pool.mean_duration = mean(pool.mean_duration, seconds)
            self._unlease(item)
            self._settle(item, status, payload, out)
            self._end_if_done(item.call, out)
        self._freed(container, now, out)
        self._place(pool, now, out)

    def _freed(self, container: Container, now: float, out: Outbox) -> None:
        """Note that a container holds fewer inputs than before."""
        pool = container.pool
        held = len(container.leases)
        container.running_since = now if held else None
        if held <= pool.settings.max_inputs:
            self._ahead.discard(container)
        if container in self._grace and None not in container.leases.values():
            del self._grace[container]
        if not held:
            container.idle_since = now
        if not container.draining:
            pool.slots.place(container, held)
        elif not held:
            out.retire(container.id, pool.id)

    def _handle_leases_returned(self, event: ev.LeasesReturned, now: float, out: Outbox) -> None:
        container = self.containers.get(event.container_id)
        if container is None:
            return
        container.is_recalled = False
        pool = container.pool
        for lease in reversed(event.leases):
            item = container.leases.pop(lease, None)
            if item is not None:
                self._unlease(item)
                pool.enqueue_front(item)
        held = len(container.leases)
        if held < pool.settings.max_inputs:
            self._freed(container, now, out)
        elif held == pool.settings.max_inputs:
            # It stays out of the index until its slow input has ended.
            self._ahead.discard(container)
        self._place(pool, now, out)

    def _recall(self, container: Container, out: Outbox) -> None:
        waiting = container.waiting_leases()
        if waiting and not container.is_recalled:
            container.is_recalled = True
            container.pool.slots.remove(container)
            out.recall(container.id, waiting)

    def _handle_tick(self, event: ev.Tick, now: float, out: Outbox) -> None:
        for container in list(self._ahead):
            usual = PATIENCE_MEANS * (container.pool.mean_duration or 0.0)
            since = container.running_since
            if since is not None and now - since > PATIENCE_SECONDS + usual:
                self._recall(container, out)
        for container, deadline in list(self._grace.items()):
            if now >= deadline:
                del self._grace[container]
                out.kill(container.id, container.pool.id)
