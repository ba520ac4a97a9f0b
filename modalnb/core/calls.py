"""The calls of a ledger: what was admitted, what is done, and when a call has ended."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modalnb.core import events as ev
from modalnb.core.admission import Admission, admit
from modalnb.core.outbox import Outbox
from modalnb.core.pools import Pool
from modalnb.core.records import Call, Input, Waiter
from modalnb.settings import Limits


class CallBook:
    """All open calls; it knows nothing of containers."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.calls: dict[str, Call] = {}
        #: The calls that need their caller: live ones, and durable ones that will get more of it.
        self.dependent: dict[str, dict[str, None]] = {}
        #: Calls that inputs wait for: live ones that they made, durable ones that they ask for.
        self.awaited: dict[str, Call] = {}

    def put(self, event: ev.InputsPut, pool: Pool, now: float, out: Outbox) -> Call | None:
        """Admit what is new and fits the limits; None if that opens no call."""
        call = self.calls.get(event.call_id)
        if call is None:
            call = Call(event.call_id, pool, event.code, event.caller, event.kind)
        start = max(event.start, call.admitted)
        stop = event.start + len(event.payloads)
        is_gap = event.start > call.admitted
        admission = self._admit(0 if is_gap else max(0, stop - start), call)
        end = start + admission.admitted
        if end < stop:
            if event.patient:
                call.owed = max(call.owed, stop)
            if not (event.patient and is_gap):
                # Who hears of each refusal twice would put inputs again that are in by then.
                out.refuse(call, end, stop - end, admission)
            if end == 0 and not event.patient and call.id not in self.calls:
                out.end(call)
                return None
        if call.id not in self.calls:
            self.calls[call.id] = call
            pool.calls += 1
            if event.parent is not None and call.kind == "live":
                self.begin_wait(call, (event.caller, event.parent))
        new = event.payloads[start - event.start : end - event.start] if end > start else ()
        pool.enqueue(call, [Input(call, n, payload, now) for n, payload in enumerate(new, start)])
        call.admitted += admission.admitted
        call.closed = call.closed or event.closed
        self._note_dependence(call)
        if call.kind == "durable" and call.admitted >= stop:
            out.accept(call.caller, call.id, call.admitted)
        return call

    def _admit(self, asked: int, call: Call) -> Admission:
        pool = call.pool
        return admit(
            asked,
            kind=call.kind,
            waiting=pool.waiting_live,
            waiting_durable=pool.waiting_durable + pool.retrying_durable,
            leased=pool.leased_live + pool.retrying_live,
            limits=self.limits,
        )

    def turn_away(self, event: ev.InputsPut, out: Outbox) -> None:
        """Inputs that arrive for a call which was cancelled meanwhile are cancelled too."""
        for n, payload in enumerate(event.payloads, event.start):
            out.spent(payload)
            out.output(event.caller, event.kind, event.call_id, n, "cancelled", None)
        if event.kind == "durable":
            out.accept(event.caller, event.call_id, event.start + len(event.payloads))

    def close(self, call: Call, out: Outbox) -> None:
        """The caller puts only what is owed."""
        call.closed = True
        self._note_dependence(call)
        self.end_if_done(call, out)

    def abandon(self, call: Call, out: Outbox) -> None:
        """The caller puts nothing any more, not even what is owed."""
        call.owed = 0
        self.close(call, out)

    def settle(self, item: Input, status: ev.Status, payload: Any, out: Outbox) -> None:
        """Give an input its one outcome."""
        call = item.call
        call.done += 1
        if status != "cancelled":
            call.pool.done += 1
            call.pool.failed += status != "ok"
        out.spent(item.payload)
        out.output(call.caller, call.kind, call.id, item.index, status, payload)
        if call.closed:
            self.end_if_done(call, out)

    def end_if_done(self, call: Call, out: Outbox) -> None:
        """Let a call go when every input that there will ever be has its outcome."""
        if call.is_ended and self.calls.pop(call.id, None) is not None:
            call.pool.calls -= 1
            self.awaited.pop(call.id, None)
            self._note_dependence(call)
            out.end(call)

    def begin_wait(self, call: Call, waiter: Waiter) -> None:
        """An input waits for outputs of a call."""
        if call.waiters is None:
            call.waiters = Counter()
        call.waiters[waiter] += 1
        self.awaited[call.id] = call

    def end_wait(self, call: Call, waiter: Waiter) -> None:
        """The input does not wait any more."""
        if call.waiters is None or waiter not in call.waiters:
            return
        call.waiters[waiter] -= 1
        if not call.waiters[waiter]:
            del call.waiters[waiter]
        if not call.waiters:
            del self.awaited[call.id]

    def forget_waits(self, caller: str) -> None:
        """A caller is gone, with all inputs that it had."""
        for call in list(self.awaited.values()):
            for waiter in [waiter for waiter in call.waiters or () if waiter[0] == caller]:
                del call.waiters[waiter]  # type: ignore[union-attr]
            if not call.waiters:
                del self.awaited[call.id]

    def _note_dependence(self, call: Call) -> None:
        depends = call.kind == "live" or call.gets_more
        if depends and call.id in self.calls:
            self.dependent.setdefault(call.caller, {})[call.id] = None
        elif mates := self.dependent.get(call.caller):
            mates.pop(call.id, None)
            if not mates:
                del self.dependent[call.caller]
