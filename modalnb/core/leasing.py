"""The containers of a ledger: their life, and the leases that they hold on inputs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from modalnb.core import events as ev
from modalnb.core.calls import CallBook
from modalnb.core.outbox import Outbox
from modalnb.core.placement import prefetch_depth
from modalnb.core.records import Call, Container, Input, Pool, mean

#: An input that was lost with its container this often is given up.
MAX_LOSSES = 8
#: After this many failed starts in a row, callers are told instead of left waiting.
MAX_BOOT_FAILURES = 3
#: Inputs held behind one that runs this many seconds, and so many means, longer are recalled.
PATIENCE_SECONDS = 0.02
PATIENCE_MEANS = 4
#: A container that still works on a cancelled input after so many seconds is replaced.
CANCEL_GRACE = 5.0


class Leasing:
    """All containers, and which inputs they hold."""

    def __init__(self, book: CallBook) -> None:
        self.book = book
        self.containers: dict[str, Container] = {}
        self._lease_ids = count(1)
        #: Containers that hold inputs ahead; only these and `grace` need ticks.
        self.ahead: dict[Container, None] = {}
        #: Leases on cancelled inputs: when their containers are ended, and these.
        self.grace: dict[int, tuple[float, Container]] = {}

    # -- a container's life ----------------------------------------------------------------

    def expect(self, container_id: str, pool: Pool, now: float) -> Container:
        """The container of that id, which belongs to `pool` if it is a new one."""
        container = self.containers.get(container_id)
        if container is None:
            container = Container(container_id, pool, now)
            self.containers[container_id] = pool.containers[container_id] = container
        return container

    def ready(self, container: Container, now: float, out: Outbox) -> None:
        """A container takes inputs; saying so twice changes nothing."""
        if container.draining or container.ready_at is not None:
            return
        pool = container.pool
        container.ready_at = container.idle_since = now
        pool.mean_boot = mean(pool.mean_boot, now - container.started_at)
        pool.boot_failures = 0
        self._index(container)
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
        self._forget_grace(container)
        if container.ready_at is None and not container.draining:
            self._boot_failed(pool, event.story, now, out)
        self._requeue(container, event.story, out)
        self.place(pool, now, out)
        out.pool_changed(pool.id)

    def _boot_failed(self, pool: Pool, story: str, now: float, out: Outbox) -> None:
        pool.boot_failures += 1
        pool.boot_failed_at = now
        pool.boot_stories = (*pool.boot_stories, story)[-MAX_BOOT_FAILURES:]
        works = any(c.ready_at is not None and not c.draining for c in pool.containers.values())
        if pool.boot_failures < MAX_BOOT_FAILURES or works:
            return
        while pool.waiting:
            self.book.settle(pool.take(), "lost", pool.boot_stories, out)

    def _requeue(self, container: Container, story: str, out: Outbox) -> None:
        """Put the inputs of a lost container first again; only those that ran are charged.

        A container that was killed for the sake of a cancelled input died through no fault of
        the others.
        """
        charged = container.running
        held = list(enumerate(container.leases.values()))
        for position, item in reversed(held):
            if item is None:
                continue
            item.call.pool.count_leased(item.call, -1)
            if not container.is_killed:
                # Which of them had ended unreported is not known, so none is above suspicion.
                item.is_suspect = True
                if position < charged:
                    item.losses = (*item.losses, story)
            if len(item.losses) >= MAX_LOSSES:
                self.book.settle(item, "lost", item.losses, out)
            else:
                container.pool.enqueue_front(item)

    def drain(self, containers: Iterable[Container], out: Outbox) -> None:
        """Let containers take no more inputs, and leave when their slots are free."""
        for container in containers:
            if container.draining:
                continue
            container.draining = True
            self._index(container)
            self._recall(container, out)
            if not container.leases:
                out.retire(container.id, container.pool.id)

    def _kill(self, container: Container, out: Outbox) -> None:
        container.draining = container.is_killed = True
        self._index(container)
        self._forget_grace(container)
        out.kill(container.id, container.pool.id)
        out.pool_changed(container.pool.id)

    # -- leases ----------------------------------------------------------------------------

    def place(self, pool: Pool, now: float, out: Outbox) -> None:
        """Lease waiting inputs to containers until either runs out."""
        if not len(pool.slots):
            return
        target, most = pool.settings.target_inputs, pool.settings.max_inputs
        depth = prefetch_depth(pool.mean_duration)
        while pool.ready:
            item = pool.peek()
            if not item.is_suspect:
                container = pool.slots.choose(target, most, depth)
            elif not item.runs_alone:
                container = pool.slots.choose(target, most, 0)
            else:
                container = pool.slots.emptiest_below(1)
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
        if item.is_suspect:
            container.is_watched = True
            container.is_taken = item.runs_alone
        self._index(container)
        if len(container.leases) > pool.settings.max_inputs:
            self.ahead[container] = None
        pool.count_leased(item.call, 1)
        out.run(container.id, lease, item)

    def _index(self, container: Container) -> None:
        """Put a container where its load belongs, or out of the index if it takes nothing."""
        held = len(container.leases)
        if held < container.ceiling:
            container.pool.slots.place(container, held)
        else:
            container.pool.slots.remove(container)

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
            item = leases.pop(lease)
            if item is None:
                self.grace.pop(lease, None)
                out.spent(payload)
                continue
            pool.mean_duration = mean(pool.mean_duration, seconds)
            pool.count_leased(item.call, -1)
            self.book.settle(item, status, payload, out)
        if len(leases) < before:
            container.done += before - len(leases)
            container.running_since = now
            container.is_slow = False
            self._freed(container, now, out)
            self.place(pool, now, out)

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
            item = leases.pop(lease)
            if item is None:
                self.grace.pop(lease, None)
            else:
                pool.count_leased(item.call, -1)
                pool.enqueue_front(item)
        if len(leases) < before:
            self._freed(container, now, out)
        self._index(container)
        self.place(pool, now, out)
        if pool.waiting:
            out.pool_changed(pool.id)

    def _freed(self, container: Container, now: float, out: Outbox) -> None:
        """Note that a container holds fewer inputs than before."""
        pool = container.pool
        held = len(container.leases)
        if container.is_watched:
            container.look_again()
        if held <= pool.settings.max_inputs:
            self.ahead.pop(container, None)
        self._index(container)
        if held:
            return
        container.idle_since = now
        container.running_since = None
        if container.draining and not container.is_killed:
            out.retire(container.id, pool.id)
        elif pool.is_leaving:
            out.pool_changed(pool.id)

    def _recall(self, container: Container, out: Outbox) -> None:
        waiting = container.waiting_leases()
        if waiting and not container.is_recalled:
            container.is_recalled = container.is_slow = True
            self._index(container)
            out.recall(container.id, waiting)

    def resettle(self, pool: Pool) -> None:
        """The settings of a pool have changed: look again at what each container holds."""
        for container in pool.containers.values():
            if container.prefetched:
                self.ahead[container] = None
            else:
                self.ahead.pop(container, None)
            self._index(container)

    def cancel(self, call: Call, now: float, out: Outbox) -> None:
        """Cancel what containers hold of a call; a slot stays taken until its container says so."""
        for container in call.pool.containers.values() if call.leased else ():
            cancelled = [n for n, item in container.leases.items() if item and item.call is call]
            for lease in cancelled:
                item = container.leases[lease]
                assert item is not None
                container.leases[lease] = None
                if not container.is_killed:
                    self.grace[lease] = (now + CANCEL_GRACE, container)
                call.pool.count_leased(call, -1)
                self.book.settle(item, "cancelled", None, out)
            if cancelled:
                out.cancel(container.id, cancelled)

    def _forget_grace(self, container: Container) -> None:
        for lease in container.leases:
            self.grace.pop(lease, None)

    def tick(self, now: float, out: Outbox) -> None:
        """Recall what waits behind slow inputs; end what does not let go of cancelled ones."""
        for container in list(self.ahead):
            usual = PATIENCE_MEANS * (container.pool.mean_duration or 0.0)
            since = container.running_since
            if since is not None and now - since > PATIENCE_SECONDS + usual:
                self._recall(container, out)
        for lease, (deadline, container) in list(self.grace.items()):
            if now >= deadline and lease in self.grace:
                self._kill(container, out)
