"""The records of the ledger: inputs, calls, containers and pools, with their invariants."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from modalnb.core.events import CallKind
from modalnb.core.placement import SlotIndex
from modalnb.settings import FunctionSettings

#: Weight of the newest value in the running means.
NEWEST = 0.2
#: An input that executed in so many containers that died gets the next one for itself, so that
#: whatever happens there is not blamed on others.
LOSSES_BEFORE_SOLITUDE = 2


def mean(old: float | None, new: float) -> float:
    """The running mean after one more value."""
    return new if old is None else old + NEWEST * (new - old)


class Input:
    """Arguments of one execution; it is either in its call's queue or leased to a container."""

    __slots__ = ("call", "index", "is_suspect", "losses", "payload")

    def __init__(self, call: Call, index: int, payload: Any) -> None:
        self.call = call
        self.index = index
        self.payload = payload
        #: What happened to each container that died while it executed this input.
        self.losses: tuple[str, ...] = ()
        #: It was in a container that died, so nothing may be held behind it.
        self.is_suspect = False

    @property
    def runs_alone(self) -> bool:
        """Whether it gets a container for itself."""
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
        "parent",
        "pool",
    )

    def __init__(self, call_id: str, pool: Pool, code: str, caller: str, kind: CallKind) -> None:
        self.id = call_id
        self.pool = pool
        self.code = code
        self.caller = caller
        self.kind = kind
        self.parent: tuple[str, int] | None = None
        #: Waiting inputs are `front` from its end, then `fresh` from its start: a queue made of
        #: two lists, since a million empty deques would take six hundred megabytes.
        self.front: list[Input] = []
        self.fresh: list[Input] = []
        #: admitted == waiting + leased + done; inputs are admitted in order, without gaps.
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
    def is_ended(self) -> bool:
        """Every input that there will ever be has its outcome."""
        return self.closed and self.done == self.admitted >= self.owed

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
        "done",
        "draining",
        "id",
        "idle_since",
        "is_killed",
        "is_recalled",
        "is_slow",
        "is_taken",
        "is_watched",
        "leases",
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
        #: None stands for an input that was cancelled and has not left its slot yet.
        self.leases: dict[int, Input | None] = {}
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
        self.done = 0

    @property
    def running(self) -> int:
        """Inputs that execute."""
        return min(len(self.leases), self.pool.settings.max_inputs)

    @property
    def prefetched(self) -> int:
        """Inputs that wait inside the container."""
        return max(0, len(self.leases) - self.pool.settings.max_inputs)

    @property
    def ceiling(self) -> float:
        """Inputs that it may hold at most; :mod:`.placement` may allow fewer."""
        if self.draining or self.is_recalled or self.is_taken or self.ready_at is None:
            return 0
        if self.is_slow or self.is_watched:
            return self.pool.settings.max_inputs
        return math.inf

    def waiting_leases(self) -> list[int]:
        """Leases behind the executing ones, in order."""
        return list(self.leases)[self.pool.settings.max_inputs :]

    def look_again(self) -> None:
        """Some lease has ended: whether it still executes a suspect input, cancelled or not."""
        self.is_watched = any(item is None or item.is_suspect for item in self.leases.values())
        self.is_taken = self.is_taken and bool(self.leases)


class Pool:
    """All containers and inputs of one function."""

    __slots__ = (
        "boot_failed_at",
        "boot_failures",
        "boot_stories",
        "calls",
        "containers",
        "done",
        "failed",
        "id",
        "is_leaving",
        "leased_live",
        "mean_boot",
        "mean_duration",
        "ready",
        "settings",
        "slots",
        "waiting_durable",
        "waiting_live",
    )

    def __init__(self, pool_id: str, settings: FunctionSettings) -> None:
        self.id = pool_id
        self.settings = settings
        #: Calls with waiting inputs, in the order in which they are served next.
        self.ready: OrderedDict[Call, None] = OrderedDict()
        self.containers: dict[str, Container] = {}
        #: The containers that take inputs, by how many they hold.
        self.slots: SlotIndex[Container] = SlotIndex()
        #: Open calls; like all counts here it is kept, never found by a scan.
        self.calls = 0
        #: waiting_live + waiting_durable == sum of the queues of its calls.
        self.waiting_live = 0
        self.waiting_durable = 0
        self.leased_live = 0
        self.done = 0
        self.failed = 0
        #: Its function is no more; it goes when it has neither calls nor containers.
        self.is_leaving = False
        self.mean_duration: float | None = None
        self.mean_boot: float | None = None
        self.boot_failures = 0
        self.boot_stories: tuple[str, ...] = ()
        self.boot_failed_at = 0.0

    @property
    def waiting(self) -> int:
        """Inputs without a container."""
        return self.waiting_live + self.waiting_durable

    def count_waiting(self, call: Call, change: int) -> None:
        """Keep the counts when inputs of `call` enter or leave the queue."""
        if call.kind == "live":
            self.waiting_live += change
        else:
            self.waiting_durable += change

    def count_leased(self, call: Call, change: int) -> None:
        """Keep the counts when inputs of `call` are leased or leave their slots."""
        call.leased += change
        if call.kind == "live":
            self.leased_live += change

    def enqueue(self, call: Call, items: list[Input]) -> None:
        """Append inputs to the queue of their call."""
        if items:
            self.ready.setdefault(call)
            call.fresh.extend(items)
            self.count_waiting(call, len(items))

    def enqueue_front(self, item: Input) -> None:
        """Put a lost or recalled input before the others of its call; a new call goes first."""
        call = item.call
        if call not in self.ready:
            self.ready[call] = None
            self.ready.move_to_end(call, last=False)
        call.push_front(item)
        self.count_waiting(call, 1)

    def peek(self) -> Input:
        """The input that :meth:`take` takes next."""
        return next(iter(self.ready)).peek()

    def take(self) -> Input:
        """Take the next input: calls take turns, first in first out inside a call."""
        call = next(iter(self.ready))
        item = call.pop()
        if call.waiting:
            self.ready.move_to_end(call)
        else:
            del self.ready[call]
        self.count_waiting(call, -1)
        return item

    def drop_waiting(self, call: Call) -> list[Input]:
        """Take all waiting inputs of a call out of the queue."""
        items = call.clear()
        if items:
            del self.ready[call]
            self.count_waiting(call, -len(items))
        return items
