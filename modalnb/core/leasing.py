"""The containers of a ledger: their life, and what becomes of the leases that they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modalnb.core import events as ev
from modalnb.core.agenda import Agenda
from modalnb.core.calls import CallBook
from modalnb.core.dispatch import Dispatch
from modalnb.core.outbox import Outbox
from modalnb.core.pools import Pool, mean
from modalnb.core.records import Call, Container, Input
from modalnb.settings import FunctionSettings

#: An input that was lost with its container this often is given up.
MAX_LOSSES = 8
#: An input whose containers were ended for their memory while they executed nothing else fails
#: sooner: it needs so much in the next one too.
MAX_LIMIT_LOSSES = 3
#: After this many failed starts in a row, callers are told instead of left waiting.
MAX_BOOT_FAILURES = 3
#: Inputs held behind one that runs this many seconds, and so many means, longer are recalled.
PATIENCE_SECONDS = 0.02
PATIENCE_MEANS = 4
#: A container that still works on a cancelled or overdue input after so many seconds is replaced.
CANCEL_GRACE = 5.0
#: A container that says nothing of an overdue input, as while C code holds the interpreter, gets
#: so many seconds more.
OVERDUE_GRACE = 2.0


class Leasing:
    """All containers, and which inputs they hold."""

    def __init__(self, book: CallBook, agenda: Agenda) -> None:
        self.book = book
        self.agenda = agenda
        self.containers: dict[str, Container] = {}
        #: Containers that hold inputs ahead.
        self.ahead: dict[Container, None] = {}
        self._dispatch = Dispatch(agenda, self.ahead)

    # -- a container's life ----------------------------------------------------------------

    def expect(self, container_id: str, pool: Pool, now: float) -> Container:
        """The container of that id, which belongs to `pool` if it is a new one."""
        container = self.containers.get(container_id)
        if container is None:
            container = Container(container_id, pool, now)
            self.containers[container_id] = pool.containers[container_id] = container
            self.agenda.add(now + pool.settings.seconds_to_start, "start", container)
        return container

    def ready(self, container: Container, now: float, out: Outbox) -> None:
        """A container takes inputs; saying so twice changes nothing."""
        if container.draining or container.ready_at is not None:
            return
        pool = container.pool
        container.ready_at = container.idle_since = now
        self.agenda.drop("start", container)
        pool.mean_boot = mean(pool.mean_boot, now - container.started_at)
        pool.boot_failures = 0
        self._dispatch.index(container)
        self.place(pool, now, out)

    def lost(self, event: ev.ContainerLost, now: float, out: Outbox) -> None:
        """A container is gone: what it held goes back to the queue."""
        container = self.containers.pop(event.container_id, None)
        if container is None:
            return
        pool = container.pool
        del pool.containers[container.id]
        pool.slots.remove(container)
        self.ahead.pop(container, None)
        self._forget_times(container)
        if container.ready_at is None and not container.draining:
            self._boot_failed(pool, event.story, event.failure, now, out)
        self._requeue(container, event, now, out)
        self.place(pool, now, out)
        out.pool_changed(pool.id)

    def _boot_failed(self, pool: Pool, story: str, failure: Any, now: float, out: Outbox) -> None:
        pool.boot_failures += 1
        pool.boot_failed_at = now
        pool.boot_stories = (*pool.boot_stories, story)[-MAX_BOOT_FAILURES:]
        works = any(c.ready_at is not None and not c.draining for c in pool.containers.values())
        if pool.boot_failures < MAX_BOOT_FAILURES or works or pool.deployed:
            return
        while pool.waiting:
            if failure is None:
                self.book.settle(pool.take(), "lost", pool.boot_stories, out)
            else:
                self.book.settle(pool.take(), "error", failure, out)

    def _requeue(
        self, container: Container, end: ev.ContainerLost, now: float, out: Outbox
    ) -> None:
        """Put the inputs of a lost container first again; only those that ran are charged.

        A container that was killed for the sake of one input died through no fault of the others.
        """
        waited = set(container.waiting_leases())
        is_alone = len(container.leases) - len(waited) == 1
        allowed = _losses_allowed(container) if end.over_limit and is_alone else MAX_LOSSES
        for lease, item in reversed(container.leases.items()):
            if item is None:
                continue
            item.call.pool.count_leased(item.call, -1)
            if not container.is_killed:
                # Which of them had ended unreported is not known, so none is above suspicion.
                item.is_suspect = True
                if lease not in waited:
                    item.losses = (*item.losses, end.story)
                    item.was_alone = item.was_alone or is_alone
            if len(item.losses) >= (MAX_LOSSES if lease in waited else allowed):
                self.book.settle(item, "lost", item.losses, out)
            else:
                container.pool.enqueue_front(item, now)

    def drain(self, containers: Iterable[Container], out: Outbox) -> None:
        """Let containers take no more inputs, and leave when their slots are free."""
        for container in containers:
            if container.draining:
                continue
            container.draining = True
            self.agenda.drop("start", container)
            self._dispatch.index(container)
            self._recall(container, out)
            if not container.leases:
                out.retire(container.id, container.pool.id)

    def kill(self, container: Container, out: Outbox) -> None:
        """End a container with all that it executes; what has no outcome is queued again."""
        if container.is_killed:
            return
        container.draining = container.is_killed = True
        self._dispatch.index(container)
        self._forget_times(container)
        out.kill(container.id, container.pool.id)
        out.pool_changed(container.pool.id)

    # -- leases ----------------------------------------------------------------------------

    def place(self, pool: Pool, now: float, out: Outbox) -> None:
        """Lease waiting inputs to containers until either runs out."""
        self._dispatch.place(pool, now, out)
        if pool.settings.batch is not None and not pool.has_inputs:
            pool.arrivals.end(now)

    def batch_due(self, pool: Pool, now: float, out: Outbox) -> None:
        """The waiting inputs of a batched function may go now."""
        self._dispatch.batch_due(pool, now, out)

    def outputs(self, event: ev.OutputsReturned, now: float, out: Outbox) -> None:
        """Inputs have ended; outputs of leases that are not held any more are dropped."""
        container = self.containers.get(event.container_id)
        if container is None:
            for _, _, payload, _ in event.outputs:
                out.spent(payload)
            return
        pool, leases = container.pool, container.leases
        before = len(leases)
        for lease, status, payload, seconds in event.outputs:
            if lease not in leases:
                out.spent(payload)
                continue
            item = container.pop(lease)
            if item is None:
                self.agenda.drop("cling", (container, lease))
                out.spent(payload)
                continue
            pool.mean_duration = mean(pool.mean_duration, seconds)
            pool.count_leased(item.call, -1)
            if status == "ok":
                self.book.settle(item, status, payload, out)
            else:
                self._fail(item, status, payload, now, out)
        if len(leases) < before:
            container.done += before - len(leases)
            container.running_since = now
            container.is_slow = False
            self._freed(container, now, out)
            self.place(pool, now, out)

    def _fail(self, item: Input, status: ev.Status, payload: Any, now: float, out: Outbox) -> None:
        """An attempt failed: the input waits for the next one, if its function has more."""
        retries = item.call.pool.settings.retries
        is_last = retries is None or item.failures >= retries.max_retries
        if is_last or status not in ("error", "timeout"):
            self.book.settle(item, status, payload, out)
            return
        out.spent(payload)
        item.failures += 1
        item.call.pool.begin_retry(item)
        assert retries is not None
        self.agenda.add(now + retries.delay(item.failures), "retry", item)

    def retry(self, item: Input, now: float, out: Outbox) -> None:
        """The time of the next attempt has come."""
        pool = item.call.pool
        pool.end_retry(item)
        pool.enqueue_front(item, now)
        self.place(pool, now, out)
        if pool.waiting:
            out.pool_changed(pool.id)

    def returned(self, event: ev.LeasesReturned, now: float, out: Outbox) -> None:
        """A container has given back what it had not started."""
        container = self.containers.get(event.container_id)
        if container is None:
            return
        container.is_recalled = False
        pool, leases = container.pool, container.leases
        before = len(leases)
        for lease in reversed(event.leases):
            if lease not in leases:
                continue
            item = container.pop(lease)
            if item is None:
                self.agenda.drop("cling", (container, lease))
            else:
                pool.count_leased(item.call, -1)
                pool.enqueue_front(item, now)
        if len(leases) < before:
            self._freed(container, now, out)
        else:
            self._dispatch.index(container)
        self.place(pool, now, out)
        if pool.waiting:
            out.pool_changed(pool.id)

    def _freed(self, container: Container, now: float, out: Outbox) -> None:
        """Note that a container holds fewer inputs than before."""
        pool = container.pool
        if container.is_watched:
            container.look_again()
        self._dispatch.index(container)
        if container.leases:
            return
        container.idle_since = now
        container.running_since = None
        if container.draining:
            out.retire(container.id, pool.id)
        elif pool.is_leaving:
            out.pool_changed(pool.id)

    def _recall(self, container: Container, out: Outbox) -> None:
        waiting = container.waiting_leases()
        if waiting and not container.is_recalled:
            container.is_recalled = container.is_slow = True
            self._dispatch.index(container)
            out.recall(container.id, waiting)

    def resettle(self, pool: Pool, before: FunctionSettings, now: float, out: Outbox) -> None:
        """The settings of a pool have changed: look again at what each container holds."""
        has_new_timeout = pool.settings.timeout != before.timeout
        has_new_slots = pool.settings.max_inputs != before.max_inputs
        for container in pool.containers.values():
            if has_new_slots:
                container.begin_again(now)
            self._dispatch.index(container)
            if has_new_timeout and ("overdue", container) in self.agenda:
                self.agenda.add(now + OVERDUE_GRACE, "overdue", container)
            if ("start", container) in self.agenda:
                at = container.started_at + pool.settings.seconds_to_start
                self.agenda.add(max(now, at), "start", container)
        if pool.settings.single_use:
            self.drain([c for c in pool.containers.values() if c.leases or c.done], out)

    def reslot(self, event: ev.SlotsChanged, now: float, out: Outbox) -> None:
        """A container has more or fewer slots; what it holds beyond them comes back."""
        container = self.containers.get(event.container_id)
        if container is None:
            return
        container.own_slots = event.slots
        container.begin_again(now)
        self._dispatch.index(container)
        self._recall(container, out)
        self.place(container.pool, now, out)

    # -- inputs that shall stop ------------------------------------------------------------

    def cancel(self, call: Call, now: float, out: Outbox, *, kill: bool = False) -> None:
        """Cancel what containers hold of a call; a slot stays taken until its container says so."""
        for container in list(call.pool.containers.values()) if call.leased else ():
            cancelled = [n for n, item in container.leases.items() if item and item.call is call]
            is_at_work = not set(cancelled) <= set(container.waiting_leases())
            for lease in cancelled:
                self.book.settle(self._release(container, lease), "cancelled", None, out)
            if stopped := self._give_grace(container, now):
                out.cancel(container.id, stopped)
            if kill and is_at_work:
                self.kill(container, out)

    def _release(self, container: Container, lease: int) -> Input:
        """Take the input out of a lease whose slot is not free yet."""
        item = container.leases[lease]
        assert item is not None
        container.leases[lease] = None
        item.call.pool.count_leased(item.call, -1)
        return item

    def _give_grace(self, container: Container, now: float) -> list[int]:
        """Leases that the container shall let go from now on, within some time."""
        if container.is_killed:
            return []
        unwanted = container.unwanted_leases()
        leases = [n for n in unwanted if ("cling", (container, n)) not in self.agenda]
        for lease in leases:
            self.agenda.add(now + CANCEL_GRACE, "cling", (container, lease))
        return leases

    def overdue(self, event: ev.LeasesOverdue, now: float, out: Outbox) -> None:
        """Inputs have run too long: for their callers they are over, whatever their code does."""
        if container := self.containers.get(event.container_id):
            self._time_out(container, event.leases, now, out)
            self._give_grace(container, now)

    def _time_out(
        self, container: Container, leases: Iterable[int], now: float, out: Outbox
    ) -> None:
        limit = container.pool.settings.timeout
        for lease in leases:
            if container.leases.get(lease) is not None:
                self._fail(self._release(container, lease), "timeout", limit, now, out)

    def in_time(self, event: ev.ContainerInTime, now: float, out: Outbox) -> None:
        """A container says that nothing in it is overdue; so it can speak."""
        container = self.containers.get(event.container_id)
        if container is not None and container.running_since is not None:
            container.running_since = max(container.running_since, now - event.seconds)

    def stuck(self, event: ev.ContainerStuck, now: float, out: Outbox) -> None:
        """A container cannot stop what it executes."""
        if container := self.containers.get(event.container_id):
            self.kill(container, out)

    def clings(self, what: tuple[Container, int], now: float, out: Outbox) -> None:
        """A container had time to let go of a lease, and did not."""
        self.kill(what[0], out)

    def guard(self, container: Container, now: float, out: Outbox) -> None:
        """End a container that has not said that its inputs are overdue, though they are."""
        patience = container.pool.settings.timeout + OVERDUE_GRACE
        waiting = set(container.waiting_leases())
        until = {
            lease: max(container.running_since or 0.0, item.since) + patience
            for lease, item in container.leases.items()
            if item is not None and lease not in waiting
        }
        late = [lease for lease, at in until.items() if at <= now]
        if late:
            self._time_out(container, late, now, out)
            self.kill(container, out)
        container.is_guarded = bool(container.leases) and not container.is_killed
        if container.is_guarded:
            self.agenda.add(min(until.values(), default=now + patience), "overdue", container)

    def check_start(self, container: Container, now: float, out: Outbox) -> None:
        """End a container that is not ready though its time to start is over."""
        limit = container.pool.settings.seconds_to_start
        story = f"container {container.id}: it was not ready within {limit:g} s (startup_timeout)"
        self._boot_failed(container.pool, story, None, now, out)
        self.kill(container, out)

    def _forget_times(self, container: Container) -> None:
        """Nothing has to be looked at any more for the sake of a container that ends."""
        self.agenda.drop("start", container)
        self.agenda.drop("overdue", container)
        for lease in container.leases:
            self.agenda.drop("cling", (container, lease))

    def tick(self, now: float, out: Outbox) -> None:
        """Recall what waits behind slow inputs."""
        for container in list(self.ahead):
            usual = PATIENCE_MEANS * (container.pool.mean_duration or 0.0)
            since = container.running_since
            if since is not None and now - since > PATIENCE_SECONDS + usual:
                self._recall(container, out)


def _losses_allowed(container: Container) -> int:
    """How often an input may exceed the memory limit alone.

    In a container that had done nothing before there is no doubt what used the memory; in one
    that had, others may have left it behind.
    """
    return MAX_LIMIT_LOSSES if container.done else 1
