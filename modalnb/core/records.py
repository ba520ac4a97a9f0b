"""The records of inputs, calls and containers, with their invariants."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from modalnb.core.events import CallKind

if TYPE_CHECKING:
    from modalnb.core.pools import Pool

#: An input that waits for a call: its caller, and the call and the index of the input.
Waiter = tuple[str, tuple[str, int]]

#: An input that executed in so many containers that died gets the next one for itself, so that
#: whatever happens there is not blamed on others.
LOSSES_BEFORE_SOLITUDE = 2


class Input:
    """Arguments of one execution: queued in its call, waiting for a retry, or leased."""

    __slots__ = (
        "call",
        "failures",
        "index",
        "is_suspect",
        "losses",
        "payload",
        "since",
        "was_alone",
    )

    def __init__(self, call: Call, index: int, payload: Any, since: float) -> None:
        self.call = call
        self.index = index
        self.payload = payload
        #: Since when it has been queued or, once leased, since when it can have been executing.
        self.since = since
        #: Attempts that ended in an exception or ran too long.
        self.failures = 0
        #: What happened to each container that died while it executed this input.
        self.losses: tuple[str, ...] = ()
        #: It was in a container that died, so nothing may be held behind it.
        self.is_suspect = False
        #: It was all that a container executed when that died.
        self.was_alone = False

    @property
    def runs_alone(self) -> bool:
        """Whether it gets a container for itself."""
        if self.was_alone and self.call.pool.settings.batch is not None:
            return True
        return len(self.losses) >= LOSSES_BEFORE_SOLITUDE


class Call:
    """One remote, spawn or map: its waiting inputs in order, and counts of the others."""

    __slots__ = (
        "admitted",
        "caller",
        "closed",
        "code",
        "done",
        "fresh",
        "front",
        "id",
        "kind",
        "leased",
        "owed",
        "pool",
        "retrying",
        "waiters",
    )

    def __init__(self, call_id: str, pool: Pool, code: str, caller: str, kind: CallKind) -> None:
        self.id = call_id
        self.pool = pool
        self.code = code
        self.caller = caller
        self.kind = kind
        #: The inputs that wait for it, and how often each does; None as long as none did.
        self.waiters: Counter[Waiter] | None = None
        #: Waiting inputs are `front` from its end, then `fresh` from its start: a queue made of
        #: two lists, since a million empty deques would take six hundred megabytes.
        self.front: list[Input] = []
        self.fresh: list[Input] = []
        #: Inputs that failed and wait for their next attempt; None as long as there were none.
        self.retrying: dict[Input, None] | None = None
        #: admitted == waiting + retrying + leased + done; inputs are admitted in order.
        self.admitted = 0
        self.done = 0
        self.leased = 0
        #: A patient caller puts again what was refused, so at least so many inputs will come.
        self.owed = 0
        #: No inputs will be put but those that are owed.
        self.closed = False

    @property
    def waiting(self) -> int:
        """Inputs in the queue."""
        return len(self.front) + len(self.fresh)

    @property
    def gets_more(self) -> bool:
        """Its caller will put more inputs."""
        return not self.closed or self.admitted < self.owed

    @property
    def is_ended(self) -> bool:
        """Every input that there will ever be has its outcome."""
        return self.done == self.admitted and not self.gets_more

    def push_front(self, item: Input) -> None:
        """Put one input before all others."""
        self.front.append(item)

    def pop(self) -> Input:
        """Take the first waiting input."""
        if not self.front:
            self.front = self.fresh[::-1]
            self.fresh = []
        return self.front.pop()

    def peek(self) -> Input:
        """The first waiting input."""
        return self.front[-1] if self.front else self.fresh[0]

    def clear(self) -> list[Input]:
        """Take all waiting inputs, in order."""
        items = [*reversed(self.front), *self.fresh]
        self.front, self.fresh = [], []
        return items


class Container:
    """One container as the plane sees it: which inputs it holds and whether it takes more."""

    __slots__ = (
        "_batch_of",
        "_batches",
        "done",
        "draining",
        "id",
        "idle_since",
        "is_guarded",
        "is_killed",
        "is_recalled",
        "is_slow",
        "is_taken",
        "is_watched",
        "leases",
        "own_slots",
        "pool",
        "ready_at",
        "running_since",
        "started_at",
    )

    def __init__(self, container_id: str, pool: Pool, started_at: float) -> None:
        self.id = container_id
        self.pool = pool
        self.started_at = started_at
        self.ready_at: float | None = None
        self.idle_since: float | None = None
        #: Since when the first of its leases can have been executing.
        self.running_since: float | None = None
        #: Leases in the order in which the container starts them: the first `max_inputs` run.
        #: None stands for an input that has its outcome and has not left its slot yet.
        self.leases: dict[int, Input | None] = {}
        #: Leases that share a slot with others: the batch of each, and how many each batch has.
        self._batch_of: dict[int, int] = {}
        self._batches: dict[int, int] = {}
        #: How many slots its own code wants it to have, if that is fewer than the function's.
        self.own_slots: int | None = None
        #: It was asked to give back what it has not started, and has not answered yet.
        self.is_recalled = False
        #: It was recalled, and no input of it has ended since.
        self.is_slow = False
        #: It may execute a suspect input.
        self.is_watched = False
        #: It executes an input that runs alone.
        self.is_taken = False
        self.draining = False
        #: It is being ended with all that it executes; implies `draining`.
        self.is_killed = False
        #: The agenda has a time at which its inputs should have ended.
        self.is_guarded = False
        self.done = 0

    @property
    def max_inputs(self) -> int:
        """Slots that it has."""
        most = self.pool.settings.max_inputs
        return most if self.own_slots is None else min(most, self.own_slots)

    @property
    def held(self) -> int:
        """Slots that its leases take or wait for; a batch takes one."""
        return len(self.leases) - len(self._batch_of) + len(self._batches)

    @property
    def running(self) -> int:
        """Inputs that execute."""
        return len(self.leases) - self.prefetched

    @property
    def prefetched(self) -> int:
        """Inputs that wait inside the container; batches never do."""
        single = len(self.leases) - len(self._batch_of)
        beyond = single + len(self._batches) - self.max_inputs
        return max(0, min(single, beyond))

    @property
    def has_single(self) -> bool:
        """Whether it holds inputs that are in no batch."""
        return len(self.leases) > len(self._batch_of)

    def add_batch(self, items: dict[int, Input]) -> None:
        """Hold leases that share a slot."""
        first = next(iter(items))
        self.leases.update(items)
        self._batches[first] = len(items)
        self._batch_of.update(dict.fromkeys(items, first))

    def pop(self, lease: int) -> Input | None:
        """Hold one lease less."""
        batch = self._batch_of.pop(lease, None)
        if batch is not None:
            self._batches[batch] -= 1
            if not self._batches[batch]:
                del self._batches[batch]
        return self.leases.pop(lease)

    @property
    def ceiling(self) -> float:
        """Inputs that it may hold at most; :mod:`.placement` may allow fewer."""
        if self.draining or self.is_recalled or self.is_taken or self.ready_at is None:
            return 0
        if self.is_slow or self.is_watched or self.own_slots is not None:
            return self.max_inputs
        return math.inf

    def begin_again(self, now: float) -> None:
        """It has other slots, so what waited in it may execute from now on."""
        if self.leases:
            self.running_since = now

    def waiting_leases(self) -> list[int]:
        """Leases behind the executing ones, in order."""
        if not (waiting := self.prefetched):
            return []
        return [lease for lease in self.leases if lease not in self._batch_of][-waiting:]

    def unwanted_leases(self) -> list[int]:
        """Leases that nobody needs to end well: neither they nor others of their batch are wanted.

        One input of a batch cannot be stopped without the others.
        """
        batch_of = self._batch_of
        wanted = {batch_of.get(n) for n, item in self.leases.items() if item is not None}
        return [
            lease
            for lease, item in self.leases.items()
            if item is None and (lease not in batch_of or batch_of[lease] not in wanted)
        ]

    def look_again(self) -> None:
        """Some lease has ended: whether it still executes a suspect input, cancelled or not."""
        self.is_watched = any(item is None or item.is_suspect for item in self.leases.values())
        self.is_taken = self.is_taken and bool(self.leases)
