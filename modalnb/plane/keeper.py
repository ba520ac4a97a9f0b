"""Keeps the outputs of spawned calls for whoever asks, and knows who waits for which."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from modalnb.exception import Error, NotFoundError, OutputExpiredError

#: Inputs that a caller may wait for with one message.
MAX_WATCH = 1_000
#: Calls that are remembered after their results were thrown away.
MAX_EXPIRED = 10_000

#: (call id, index, status, payload)
Output = tuple[str, int, str, Any]


@dataclass(slots=True)
class KeptCall:
    """A spawned call: its outputs so far, and who waits for which of the others."""

    call_id: str
    pool_id: str
    owner: str
    admitted: int = 0
    is_complete: bool = False
    ended_at: float | None = None
    outputs: dict[int, tuple[str, Any]] = field(default_factory=dict)
    watchers: dict[int, list[str]] = field(default_factory=dict)

    def output(self, index: int) -> tuple[str, Any] | None:
        """The status and payload of an input, "beyond" if there is no such input; None: not yet."""
        if self.is_complete and index >= self.admitted:
            return "beyond", (index, self.admitted)
        return self.outputs.get(index)


class Keeper:
    """The spawned calls of an engine; finished ones are thrown away after `keep_seconds`."""

    def __init__(self, keep_seconds: float) -> None:
        self.keep_seconds = keep_seconds
        self.calls: dict[str, KeptCall] = {}
        #: The latest calls whose outputs are no more.
        self._expired: OrderedDict[str, None] = OrderedDict()

    def missing(self, call_id: str) -> Error:
        """Why there is no call of that id."""
        if call_id not in self._expired:
            return NotFoundError(f"There is no call {call_id}. Is it of another engine?")
        days = self.keep_seconds / 86_400
        return OutputExpiredError(
            f"The results of {call_id} were kept for {days:g} days and are gone. Get them earlier, "
            "or set `modalnb.config.result_days` before the engine starts."
        )

    def open(self, call_id: str, pool_id: str, owner: str) -> KeptCall:
        """The call of that id, opened if need be."""
        call = self.calls.get(call_id)
        if call is None:
            call = self.calls[call_id] = KeptCall(call_id, pool_id, owner)
        return call

    def keep(self, output: Output) -> list[str]:
        """Keep one output; returns the callers that wait for it."""
        call_id, index, status, payload = output
        call = self.calls[call_id]
        call.outputs[index] = (status, payload)
        return call.watchers.pop(index, [])

    def watch(self, caller: str, call_id: str, start: int, stop: int) -> list[Output] | None:
        """The outputs that are there; the others of the range follow. None: no such call.

        A range has at most :data:`MAX_WATCH` inputs.
        """
        call = self.calls.get(call_id)
        if call is None:
            return None
        there = []
        for index in range(start, min(stop, start + MAX_WATCH)):
            if (output := call.output(index)) is not None:
                there.append((call_id, index, *output))
            elif caller not in (watchers := call.watchers.setdefault(index, [])):
                watchers.append(caller)
        return there

    def end(self, call_id: str, now: float) -> None:
        """The call is over; its outputs stay for their time."""
        call = self.calls.get(call_id)
        if call is not None:
            call.ended_at = now
            call.is_complete = True
            call.watchers.clear()

    def forget_caller(self, caller: str) -> None:
        """A caller is gone and waits for nothing."""
        for call in self.calls.values():
            for index, watchers in list(call.watchers.items()):
                if caller in watchers:
                    watchers.remove(caller)
                if not watchers:
                    del call.watchers[index]

    def expire(self, now: float) -> list[Any]:
        """Throw away what was kept for its time; returns the payloads."""
        old = [
            call
            for call in self.calls.values()
            if call.ended_at is not None and now - call.ended_at > self.keep_seconds
        ]
        for call in old:
            del self.calls[call.call_id]
            self._expired[call.call_id] = None
            if len(self._expired) > MAX_EXPIRED:
                self._expired.popitem(last=False)
        return [payload for call in old for _, payload in call.outputs.values()]
