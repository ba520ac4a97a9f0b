"""Jobs: what one cell asks of one function, as one piece of work to watch, cancel and look up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from modalnb.exception import Error, InputCancelledError
from modalnb.notebook.job_facts import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    JobFacts,
    Stage,
    line,
)

if TYPE_CHECKING:
    from modalnb.notebook.job_calls import CallView

MAX_LINES = 200
#: Inputs whose state is remembered one by one.
MAX_MARKS = 200_000
TAIL_LINES = 3

_MARKS = {"ok": DONE, "cancelled": CANCELLED}


class Job:
    """The calls of one function from one cell.

    Attributes
    ----------
    job_id : str
        Such as ``"j3"``, for ``%cancel j3`` and ``%logs j3``.
    function : str
        The name of the function, or of the pool of a ``%%remote`` cell.
    """

    #: Whether nothing is left to do when the last call is over.
    ends_with_calls = True

    def __init__(self, job_id: str, function: str, cell: int | None, cell_id: str) -> None:
        self.job_id = job_id
        self.function = function
        self.cell = cell
        self.cell_id = cell_id
        self.note = ""
        #: Where and how its card is shown, and after how many seconds.
        self.parent: Any = None
        self.mode = "none"
        self.patience = 0.0
        self.started = time.monotonic()
        self._ended: float | None = None
        self._stage: Stage | None = None
        self._waited: float | None = None
        self._is_cold = False
        self._calls: list[CallView] = []
        self._lock = threading.Lock()
        self._marks = bytearray()
        self._counts = {DONE: 0, FAILED: 0, CANCELLED: 0}
        self._total: int | None = 0
        self._added = 0
        self._lines: deque[tuple[str, str, str]] = deque(maxlen=MAX_LINES)
        self._printed = 0
        #: From the plane: containers by state, inputs that execute by call.
        self.containers: dict[str, int] = {}
        self._executing: dict[str, list[int]] = {}
        self._running = 0

    # -- from its calls, on any thread -----------------------------------------------------

    def begin(self, call: CallView) -> None:
        """One more call of it is about to be made."""
        with self._lock:
            self._calls.append(call)
            self._ended = self._stage = None
            call.offset = self._added
            if self._total is not None:
                self._total = None if call.total is None else self._total + call.total
            self._grow(self._added + (call.total or 0))

    def _grow(self, added: int) -> None:
        self._added = max(self._added, added)
        missing = min(self._added, MAX_MARKS) - len(self._marks)
        if missing > 0:
            self._marks.extend(bytes(missing))

    def grow(self, call: CallView, added: int) -> None:
        """A call has so many inputs by now."""
        with self._lock:
            self._grow(call.offset + added)

    def settle(self, call: CallView, outputs: list[tuple[int, str, Any]]) -> None:
        """Inputs of a call have their outcomes."""
        with self._lock:
            for index, status, _ in outputs:
                place, mark = call.offset + index, _MARKS.get(status, FAILED)
                self._grow(place + 1)
                self._counts[mark] += 1
                if place < MAX_MARKS:
                    self._marks[place] = mark
            self._note_start()

    def keep(self, lines: list[tuple[str, str, str]]) -> None:
        """Keep what a call of it printed."""
        kept = [line for line in lines if line[1] in ("stdout", "stderr")]
        with self._lock:
            self._lines.extend(kept)
            self._printed += len(kept)

    def end(self, call: CallView, error: BaseException | None) -> None:
        """One call of it is over."""
        with self._lock:
            if call in self._calls:
                self._calls.remove(call)
            self._executing.pop(call.call_id, None)
            if error is not None:
                self._stage = _stage_of(error)
            if not self._calls and self.ends_with_calls:
                self._ended = time.monotonic()

    def finish(self, error: BaseException | None) -> None:
        """It is over, whether or not a call of it was ever made."""
        with self._lock:
            if error is not None:
                self._stage = _stage_of(error)
            self._ended = time.monotonic()

    def note_start(self, waited: float) -> None:
        """Its first input waited so long for a container."""
        with self._lock:
            # The clock of another machine may be ahead or behind.
            self._waited = min(max(0.0, waited), time.monotonic() - self.started)

    # -- from the plane --------------------------------------------------------------------

    def see(self, facts: dict[str, dict[str, Any]]) -> None:
        """Take in what the plane says of its calls."""
        if not facts:
            return
        with self._lock:
            self.containers = next(iter(facts.values()))["containers"]
            self._running = sum(call["running"] for call in facts.values())
            self._executing = {call_id: call["executing"] for call_id, call in facts.items()}
            ready = [call["ready_for"] for call in facts.values() if call["ready_for"] is not None]
            age = time.monotonic() - self.started
            if self._running:
                self._note_start()
            if not self._is_cold and ready and min(ready) < age:
                self._is_cold, self._waited = True, age - min(ready)

    def note_cold(self) -> None:
        """Not even an engine runs yet."""
        self._is_cold = True

    def _note_start(self) -> None:
        if self._waited is None:
            self._waited = time.monotonic() - self.started
            # What was booting when it was last seen must have come up since.
            self._is_cold |= self.containers.keys() == {"booting"}

    # -- what can be seen ------------------------------------------------------------------

    @property
    def calls(self) -> list[str]:
        """The ids of its calls under way."""
        return [call.call_id for call in self._calls if call.call_id]

    @property
    def is_ended(self) -> bool:
        """Whether no call of it is under way."""
        return self._ended is not None

    @property
    def seconds_since_end(self) -> float:
        """Seconds since its last call ended."""
        return time.monotonic() - self._ended if self._ended is not None else 0.0

    @property
    def longest_call(self) -> float:
        """Seconds for which the oldest of its calls has been under way."""
        with self._lock:
            started = [call.begun_at for call in self._calls]
        return time.monotonic() - min(started) if started else 0.0

    @property
    def stage(self) -> Stage:
        """How far it is."""
        if self._ended is not None:
            return self._stage or self._end_stage()
        if self._running or sum(self._counts.values()):
            return "running"
        has_ready = self.containers.get("idle") or self.containers.get("busy")
        return "booting" if self.containers.get("booting") and not has_ready else "queued"

    def _end_stage(self) -> Stage:
        if self._counts[CANCELLED] or sum(self._counts.values()) < self._added:
            return "cancelled"
        return "failed" if self._counts[FAILED] and not self._counts[DONE] else "done"

    def facts(self) -> JobFacts:
        """All that can be seen of it now."""
        with self._lock:
            end = self._ended if self._ended is not None else time.monotonic()
            marks = bytearray(self._marks)
            if self.is_ended:
                # What has no outcome at the end will have none.
                marks = marks.replace(bytes([QUEUED]), bytes([CANCELLED]))
            for call in self._calls:
                for index in self._executing.get(call.call_id, ()):
                    place = call.offset + index
                    if place < len(marks) and not marks[place]:
                        marks[place] = RUNNING
            return JobFacts(
                job_id=self.job_id,
                function=self.function,
                cell=self.cell,
                stage=self.stage,
                total=self._total,
                added=self._added,
                running=0 if self.is_ended else self._running,
                done=self._counts[DONE],
                failed=self._counts[FAILED],
                cancelled=self._counts[CANCELLED],
                containers=self.containers,
                elapsed=end - self.started,
                waited=self._waited,
                is_cold=self._is_cold,
                note=self.note,
                tail=self._tail(),
                marks=bytes(marks),
            )

    def _tail(self) -> tuple[str, ...]:
        text = "".join(text for _, _, text in list(self._lines)[-TAIL_LINES:])
        # What a bar draws over itself is one line, of which the end counts.
        parts = [part.rpartition("\r")[2] for part in text.split("\n") if part.strip()]
        return tuple(parts[-TAIL_LINES:])

    def logs(self, since: int = 0) -> tuple[list[tuple[str, str, str]], int]:
        """(container id, stream, text) of what it printed after the first `since`, and how many."""
        with self._lock:
            lines, count = list(self._lines), self._printed
        return lines[max(0, len(lines) - (count - since)) :] if count > since else [], count

    # -- what can be done ------------------------------------------------------------------

    def cancel(self) -> None:
        """Cancel what has no result: pending inputs at once, running ones by an exception."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def __repr__(self) -> str:
        return f"<Job {line(self.facts())}>"


def _stage_of(error: BaseException) -> Stage:
    """How a job ends whose caller was stopped by this."""
    gave_up = isinstance(error, TimeoutError) and not isinstance(error, Error)
    if gave_up or isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return "interrupted"
    return "cancelled" if isinstance(error, InputCancelledError) else "failed"
