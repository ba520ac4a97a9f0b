"""The calls that a job is made of, and the jobs that a notebook remembers."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from modalnb.api.viewing import NOTHING, View
from modalnb.notebook.job import Job

MAX_JOBS = 100


class CallView(View):
    """One call as a part of its job; where no card is shown, `usual` shows it."""

    def __init__(self, job: Job, total: int | None, usual: View = NOTHING) -> None:
        self.job = job
        self.total = total
        self.call_id = ""
        self.offset = 0
        self.begun_at = time.monotonic()
        self._usual = usual
        self._cancel: Callable[[], None] | None = None
        self._is_cancelled = False
        job.begin(self)

    def opened(self, call_id: str, cancel: Callable[[], None]) -> None:
        self.call_id, self._cancel = call_id, cancel
        if self._is_cancelled:
            cancel()
        self._usual.opened(call_id, cancel)

    def cancel(self) -> None:
        """Cancel the call, or have it cancelled as soon as it is on its way."""
        self._is_cancelled = True
        if self._cancel is not None:
            self._cancel()

    def printed(self, lines: list[tuple[str, str, str]]) -> None:
        self.job.keep(lines)

    def settled(self, outputs: list[tuple[int, str, Any]]) -> None:
        self.job.settle(self, outputs)

    def waits_for(self, limit: str, maximum: int) -> None:
        self.job.note = f"Inputs wait for {limit} below {maximum:,}."
        self._usual.waits_for(limit, maximum)

    def advance(self) -> None:
        self._usual.advance()

    def show(self, *, received: int, added: int, is_fed: bool) -> None:
        self.job.grow(self, added)
        self._usual.show(received=received, added=added, is_fed=is_fed)

    def close(self, error: BaseException | None = None) -> None:
        self.job.end(self, error)
        self._usual.close(error)


class Jobs:
    """The last jobs of a notebook, by id."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Job]:
        with self._lock:
            return iter(list(self._jobs.values()))

    def next_id(self) -> str:
        """The id of the next job."""
        return f"j{next(self._numbers)}"

    def add(self, job: Job) -> Job:
        """Remember a job; the oldest that have ended are forgotten."""
        with self._lock:
            self._jobs[job.job_id] = job
            ended = [other.job_id for other in self._jobs.values() if other.is_ended]
            for job_id in ended[: max(0, len(self._jobs) - MAX_JOBS)]:
                del self._jobs[job_id]
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of that id, if it is remembered."""
        return self._jobs.get(job_id)

    def of(self, function: str, cell_id: str) -> Job | None:
        """The job of a function in a cell."""
        return next(
            (
                j
                for j in reversed(self._jobs.values())
                if (j.function, j.cell_id) == (function, cell_id)
            ),
            None,
        )
