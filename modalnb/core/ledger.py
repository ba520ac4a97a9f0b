"""The state machine of calls, inputs and containers: one event in, instructions out.

An input is pending → running → done, and back to pending when its container is lost or it is tried
again; every admitted input gets exactly one outcome, and no event costs more when more inputs are
queued.  The parts: :mod:`.calls` knows what was asked for, :mod:`.leasing` who works on it,
:mod:`.dispatch` who gets what, :mod:`.agenda` what is to be looked at later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modalnb.core import events as ev
from modalnb.core.agenda import Agenda, Matter
from modalnb.core.calls import CallBook
from modalnb.core.leasing import Leasing
from modalnb.core.outbox import Outbox
from modalnb.core.pools import Pool
from modalnb.core.records import Call
from modalnb.core.stalls import StallWatch
from modalnb.settings import AutoscalerSettings, Limits

#: Settings of a pool whose function is no more.
LEAVING = AutoscalerSettings(scaledown_window=0)
#: While inputs are held ahead, the ledger looks this often whether they wait behind a slow one.
PATIENCE_TICK = 0.025


class Ledger:
    """Every pool, call, input and container of an engine.

    Examples
    --------
    >>> from modalnb.settings import FunctionSettings
    >>> ledger = Ledger()
    >>> ledger.handle(ev.PoolDefined(pool_id="p", settings=FunctionSettings()), now=0.0)
    [PoolChanged(pool_id='p')]
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.pools: dict[str, Pool] = {}
        self.book = CallBook(limits or Limits())
        self.agenda = Agenda()
        self.leasing = Leasing(self.book, self.agenda)
        self._stalls = StallWatch(self.pools, self.book.awaited)
        self.calls = self.book.calls
        self.containers = self.leasing.containers
        #: Pools of functions that are no more.
        self.leaving: dict[str, Pool] = {}
        self._handlers: dict[type[ev.Event], Callable[[Any, float, Outbox], None]] = {
            ev.PoolDefined: self._handle_pool_defined,
            ev.PoolRemoved: self._handle_pool_removed,
            ev.InputsPut: self._handle_inputs_put,
            ev.InputsAnswered: self._handle_inputs_answered,
            ev.CallAwaited: self._handle_call_awaited,
            ev.CallClosed: self._handle_call_closed,
            ev.CallCancelled: self._handle_call_cancelled,
            ev.CallerGone: self._handle_caller_gone,
            ev.ContainerExpected: self._handle_container_expected,
            ev.ContainerReady: self._handle_container_ready,
            ev.ContainerLost: self.leasing.lost,
            ev.DrainAsked: self._handle_drain_asked,
            ev.OutputsReturned: self.leasing.outputs,
            ev.LeasesReturned: self.leasing.returned,
            ev.LeasesOverdue: self.leasing.overdue,
            ev.ContainerInTime: self.leasing.in_time,
            ev.ContainerStuck: self.leasing.stuck,
            ev.SlotsChanged: self.leasing.reslot,
            ev.StallChecked: self._handle_stall_checked,
            ev.Tick: self._handle_tick,
        }
        self._matters: dict[Matter, Callable[[Any, float, Outbox], None]] = {
            "retry": self.leasing.retry,
            "batch": self.leasing.batch_due,
            "start": self.leasing.check_start,
            "overdue": self.leasing.guard,
            "cling": self.leasing.clings,
        }

    def handle(self, event: ev.Event, now: float) -> list[ev.Instruction]:
        """Take in one event and return what the shell must do, in order."""
        out = Outbox()
        self._handlers[type(event)](event, now, out)
        if self.leaving:
            self._forget_empty(out)
        return out.instructions()

    def wake_at(self, now: float) -> float | None:
        """The time at which a :class:`~modalnb.core.events.Tick` can next change anything."""
        next_at = self.agenda.next_at
        if not self.leasing.ahead:
            return next_at
        soon = now + PATIENCE_TICK
        return soon if next_at is None else min(soon, next_at)

    # -- pools -----------------------------------------------------------------------------

    def _handle_pool_defined(self, event: ev.PoolDefined, now: float, out: Outbox) -> None:
        pool = self.pools.get(event.pool_id)
        if pool is None:
            pool = self.pools[event.pool_id] = Pool(event.pool_id, event.settings)
        else:
            before, pool.settings = pool.settings, event.settings
            pool.is_leaving = False
            self.leaving.pop(pool.id, None)
            self.leasing.resettle(pool, before, now, out)
            self.leasing.place(pool, now, out)
        pool.deployed = event.deployed
        out.pool_changed(event.pool_id)

    def _handle_pool_removed(self, event: ev.PoolRemoved, now: float, out: Outbox) -> None:
        pool = self.pools.get(event.pool_id)
        if pool is None:
            return
        pool.is_leaving = True
        self.leaving[pool.id] = pool
        pool.settings = replace(pool.settings, autoscaler=LEAVING)
        if event.cancel:
            for call in [call for call in self.calls.values() if call.pool is pool]:
                self._cancel(call, now, out)
            self.leasing.drain(pool.containers.values(), out)
        out.pool_changed(pool.id)

    def _forget_empty(self, out: Outbox) -> None:
        for pool in list(self.leaving.values()):
            if not pool.calls and not pool.containers:
                del self.pools[pool.id], self.leaving[pool.id]
                self.agenda.drop("batch", pool)
                out.pool_gone(pool.id)

    # -- calls -----------------------------------------------------------------------------

    def _handle_inputs_put(self, event: ev.InputsPut, now: float, out: Outbox) -> None:
        known = self.calls.get(event.call_id)
        if known is None and event.start:
            self.book.turn_away(event, out)
            return
        pool = known.pool if known else self.pools[event.pool_id]
        call = self.book.put(event, pool, now, out)
        if call is None:
            return
        self.leasing.place(pool, now, out)
        self.book.end_if_done(call, out)
        settings = pool.settings
        # The buffer, and containers filled beyond their target, want more containers as well.
        if (
            pool.waiting
            or settings.autoscaler.buffer_containers
            or settings.target_inputs < settings.max_inputs
        ):
            out.pool_changed(pool.id)

    def _handle_inputs_answered(self, event: ev.InputsAnswered, now: float, out: Outbox) -> None:
        if pool := self.pools.get(event.pool_id):
            pool.done += event.count

    def _handle_call_awaited(self, event: ev.CallAwaited, now: float, out: Outbox) -> None:
        call = self.calls.get(event.call_id)
        if call is None:
            return
        if event.is_over:
            self.book.end_wait(call, (event.caller, event.by))
        else:
            self.book.begin_wait(call, (event.caller, event.by))
            # Who only waits uses no core, so there may be one for another container now.
            out.pool_changed(call.pool.id)

    def _handle_call_closed(self, event: ev.CallClosed, now: float, out: Outbox) -> None:
        if call := self.calls.get(event.call_id):
            self.book.close(call, out)

    def _handle_call_cancelled(self, event: ev.CallCancelled, now: float, out: Outbox) -> None:
        if call := self.calls.get(event.call_id):
            self._cancel(call, now, out, kill=event.kill)
            self.leasing.place(call.pool, now, out)

    def _handle_caller_gone(self, event: ev.CallerGone, now: float, out: Outbox) -> None:
        self.book.forget_waits(event.caller)
        calls = [self.calls[name] for name in self.book.dependent.get(event.caller, ())]
        for call in calls:
            if call.kind == "live":
                self._cancel(call, now, out)
            else:
                self.book.abandon(call, out)
        # An input that runs alone may have held up others of its pool.
        for pool in {call.pool.id: call.pool for call in calls}.values():
            self.leasing.place(pool, now, out)

    def _cancel(self, call: Call, now: float, out: Outbox, *, kill: bool = False) -> None:
        retrying = call.pool.drop_retrying(call)
        for item in retrying:
            self.agenda.drop("retry", item)
        for item in [*call.pool.drop_waiting(call), *retrying]:
            self.book.settle(item, "cancelled", None, out)
        self.leasing.cancel(call, now, out, kill=kill)
        self.book.abandon(call, out)

    # -- containers ------------------------------------------------------------------------

    def _handle_container_expected(
        self, event: ev.ContainerExpected, now: float, out: Outbox
    ) -> None:
        if pool := self.pools.get(event.pool_id):
            self.leasing.expect(event.container_id, pool, now)
        else:
            out.retire(event.container_id, event.pool_id)

    def _handle_container_ready(self, event: ev.ContainerReady, now: float, out: Outbox) -> None:
        self._handle_container_expected(
            ev.ContainerExpected(container_id=event.container_id, pool_id=event.pool_id), now, out
        )
        if container := self.containers.get(event.container_id):
            self.leasing.ready(container, now, out)

    def _handle_drain_asked(self, event: ev.DrainAsked, now: float, out: Outbox) -> None:
        named = (self.containers.get(name) for name in event.container_ids)
        self.leasing.drain([c for c in named if c is not None], out)

    def _handle_stall_checked(self, event: ev.StallChecked, now: float, out: Outbox) -> None:
        if (item := self._stalls.check(event.full, event.rivals)) is not None:
            pool = item.call.pool
            pool.drop_waiting_input(item)
            self.book.settle(item, "stalled", None, out)
            self.leasing.place(pool, now, out)

    def _handle_tick(self, event: ev.Tick, now: float, out: Outbox) -> None:
        for matter, thing in self.agenda.due(now):
            self._matters[matter](thing, now, out)
        self.leasing.tick(now, out)
