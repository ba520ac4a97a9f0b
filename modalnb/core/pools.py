"""The record of a pool: the containers and the queued inputs of one function, with counts."""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice

from modalnb.core.batching import Arrivals, BatchTally
from modalnb.core.placement import SlotIndex
from modalnb.core.records import Call, Container, Input
from modalnb.settings import FunctionSettings

#: Weight of the newest value in the running means.
NEWEST = 0.2
#: Waits for a slot that are remembered, to tell what is usual.
RECENT_WAITS = 256


def mean(old: float | None, new: float) -> float:
    """The running mean after one more value."""
    return new if old is None else old + NEWEST * (new - old)


class Pool:
    """All containers and inputs of one function."""

    __slots__ = (
        "_oldest",
        "arrivals",
        "batch_at",
        "batches",
        "boot_failed_at",
        "boot_failures",
        "boot_stories",
        "calls",
        "containers",
        "deployed",
        "done",
        "failed",
        "id",
        "is_leaving",
        "leased_durable",
        "leased_live",
        "mean_boot",
        "mean_duration",
        "ready",
        "retrying_durable",
        "retrying_live",
        "settings",
        "slots",
        "waiting_durable",
        "waiting_live",
        "waits",
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
        self.retrying_live = 0
        self.retrying_durable = 0
        self.leased_live = 0
        self.leased_durable = 0
        #: Inputs that came to an end of their own, well or not: not those that were cancelled.
        self.done = 0
        self.failed = 0
        #: Its function is no more; it goes when it has neither calls nor containers.
        self.is_leaving = False
        #: Its inputs wait for as long as its containers cannot start.
        self.deployed = False
        #: How long recent inputs waited for a slot, in seconds.
        self.waits: deque[float] = deque(maxlen=RECENT_WAITS)
        #: Of a batched function: the time on the agenda, what has gone, and how inputs arrive.
        self.batch_at: float | None = None
        self.batches = BatchTally()
        self.arrivals = Arrivals()
        self._oldest: float | None = None
        self.mean_duration: float | None = None
        self.mean_boot: float | None = None
        self.boot_failures = 0
        self.boot_stories: tuple[str, ...] = ()
        self.boot_failed_at = 0.0

    @property
    def waiting(self) -> int:
        """Inputs without a container."""
        return self.waiting_live + self.waiting_durable

    @property
    def has_inputs(self) -> bool:
        """Whether inputs wait for a slot or execute."""
        return bool(self.waiting or self.leased_live or self.leased_durable)

    @property
    def retrying(self) -> int:
        """Inputs that wait for their next attempt."""
        return self.retrying_live + self.retrying_durable

    @property
    def oldest(self) -> float:
        """Since when the first of the waiting inputs waits; only asked while these are few."""
        if self._oldest is None:
            # An input that was tried before is the first of its call and not the oldest.
            self._oldest = min(i.since for call in self.ready for i in (*call.front, *call.fresh))
        return self._oldest

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
        else:
            self.leased_durable += change

    def count_retrying(self, call: Call, change: int) -> None:
        """Keep the counts when inputs of `call` begin or end to wait for a retry."""
        if call.kind == "live":
            self.retrying_live += change
        else:
            self.retrying_durable += change

    def enqueue(self, call: Call, items: list[Input]) -> None:
        """Append inputs to the queue of their call."""
        if items:
            self.ready.setdefault(call)
            call.fresh.extend(items)
            self._note_queued(items[0], len(items))
            if self.settings.batch is not None:
                self.arrivals.note(items[0].since)

    def enqueue_front(self, item: Input, now: float) -> None:
        """Put an input before the others of its call once more; a new call goes first."""
        call = item.call
        item.since = now
        if call not in self.ready:
            self.ready[call] = None
            self.ready.move_to_end(call, last=False)
        call.push_front(item)
        self._note_queued(item, 1)

    def _note_queued(self, item: Input, count: int) -> None:
        self.count_waiting(item.call, count)
        if self._oldest is not None:
            self._oldest = min(self._oldest, item.since)

    def peek(self) -> Input:
        """The input that :meth:`take` takes next."""
        return next(iter(self.ready)).peek()

    def take(self) -> Input:
        """Take the next input: calls take turns, first in first out inside a call."""
        return self._take_of(next(iter(self.ready)))

    def _take_of(self, call: Call) -> Input:
        item = call.pop()
        if call.waiting:
            self.ready.move_to_end(call)
        else:
            del self.ready[call]
        self.count_waiting(call, -1)
        self._oldest = None
        return item

    def take_batch(self, most: int) -> list[Input]:
        """Take the inputs of one batch, which run the same code; one that runs alone is alone."""
        first = self.peek()
        if first.runs_alone:
            return [self.take()]
        turns = deque(c for c in islice(self.ready, most) if c.code == first.call.code)
        items: list[Input] = []
        while turns and len(items) < most:
            call = turns.popleft()
            if call.peek().runs_alone:
                continue
            items.append(self._take_of(call))
            if call.waiting:
                turns.append(call)
        return items

    def drop_waiting(self, call: Call) -> list[Input]:
        """Take all waiting inputs of a call out of the queue."""
        items = call.clear()
        if items:
            del self.ready[call]
            self.count_waiting(call, -len(items))
            self._oldest = None
        return items

    def drop_waiting_input(self, item: Input) -> None:
        """Take one waiting input out of the queue."""
        call = item.call
        (call.front if item in call.front else call.fresh).remove(item)
        if not call.waiting:
            del self.ready[call]
        self.count_waiting(call, -1)
        self._oldest = None

    def begin_retry(self, item: Input) -> None:
        """Let an input wait for its next attempt."""
        call = item.call
        if call.retrying is None:
            call.retrying = {}
        call.retrying[item] = None
        self.count_retrying(call, 1)

    def end_retry(self, item: Input) -> None:
        """The wait of an input is over."""
        call = item.call
        assert call.retrying is not None
        del call.retrying[item]
        self.count_retrying(call, -1)

    def drop_retrying(self, call: Call) -> list[Input]:
        """Take out all inputs of a call that wait for their next attempt."""
        items = list(call.retrying or ())
        for item in items:
            self.end_retry(item)
        return items
