"""Leases the waiting inputs of a pool to its containers, one by one or in batches."""

from __future__ import annotations

from itertools import count

from modalnb.core.agenda import Agenda
from modalnb.core.batching import seal_at
from modalnb.core.outbox import Outbox
from modalnb.core.placement import prefetch_depth
from modalnb.core.pools import Pool
from modalnb.core.records import Container, Input
from modalnb.settings import BatchSettings


class Dispatch:
    """Chooses a container for each input and leases the slot in the same step."""

    def __init__(self, agenda: Agenda, ahead: dict[Container, None]) -> None:
        self._agenda = agenda
        self._ahead = ahead
        self._lease_ids = count(1)

    def place(self, pool: Pool, now: float, out: Outbox) -> None:
        """Lease waiting inputs to containers until either runs out."""
        if not len(pool.slots):
            return
        batch = pool.settings.batch
        slots = pool.settings.max_inputs
        depth = prefetch_depth(pool.mean_duration, slots) if batch is None else 0
        while pool.ready:
            container = self._choose(pool, depth)
            if container is None:
                return
            if batch is None:
                self._lease(container, pool.take(), now, out)
            elif pool.peek().runs_alone or self._is_sealed(pool, batch, now):
                self._lease_batch(container, pool.take_batch(batch.max_batch_size), now, out)
            else:
                return

    def _choose(self, pool: Pool, depth: int) -> Container | None:
        target, most = pool.settings.target_inputs, pool.settings.max_inputs
        item = pool.peek()
        if not item.is_suspect:
            return pool.slots.choose(target, most, depth)
        if not item.runs_alone:
            return pool.slots.choose(target, most, 0)
        return pool.slots.emptiest_below(1)

    def _is_sealed(self, pool: Pool, batch: BatchSettings, now: float) -> bool:
        """Whether the waiting inputs go as a batch now; if not, the agenda says when to ask."""
        is_full = pool.waiting >= batch.max_batch_size
        at = seal_at(
            batch,
            waiting=pool.waiting,
            oldest=now if is_full else pool.oldest,
            now=now,
            mean_gap=pool.arrivals.mean_gap,
        )
        if at <= now:
            return True
        if pool.batch_at is None or at < pool.batch_at:
            pool.batch_at = at
            self._agenda.add(at, "batch", pool)
        return False

    def batch_due(self, pool: Pool, now: float, out: Outbox) -> None:
        """The time has come at which the waiting inputs may go."""
        pool.batch_at = None
        self.place(pool, now, out)

    # -- leases ----------------------------------------------------------------------------

    def _lease(self, container: Container, item: Input, now: float, out: Outbox) -> None:
        lease = next(self._lease_ids)
        self._begin(container, now, out)
        self._hand_over(container, item, now)
        container.leases[lease] = item
        self.index(container)
        out.run(container.id, lease, item)

    def _lease_batch(
        self, container: Container, items: list[Input], now: float, out: Outbox
    ) -> None:
        leases = {next(self._lease_ids): item for item in items}
        container.pool.batches.note(len(items), now - min(item.since for item in items))
        self._begin(container, now, out)
        for item in items:
            self._hand_over(container, item, now)
        container.add_batch(leases)
        self.index(container)
        out.run_batch(container.id, leases)

    @staticmethod
    def _hand_over(container: Container, item: Input, now: float) -> None:
        pool = container.pool
        pool.waits.append(now - item.since)
        item.since = now
        pool.count_leased(item.call, 1)
        if item.is_suspect:
            container.is_watched = True
            container.is_taken = item.runs_alone

    def _begin(self, container: Container, now: float, out: Outbox) -> None:
        pool = container.pool
        if not container.leases:
            container.idle_since = None
            container.running_since = now
        if pool.settings.single_use:
            container.draining = True
            out.pool_changed(pool.id)
        if not container.is_guarded:
            container.is_guarded = True
            self._agenda.add(now + pool.settings.timeout, "overdue", container)

    def index(self, container: Container) -> None:
        """Put a container where its load belongs, or out of the index if it takes nothing.

        Whoever holds inputs ahead is looked at from time to time, until it is found to be slow.
        """
        held = container.held
        if held < container.ceiling:
            container.pool.slots.place(container, held)
        else:
            container.pool.slots.remove(container)
        is_patient = not container.is_slow and not container.is_killed
        if held > container.max_inputs and is_patient and container.has_single:
            self._ahead[container] = None
        else:
            self._ahead.pop(container, None)
