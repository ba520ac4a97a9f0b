"""What a container works on: jobs as they arrive, and runs while they execute."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modalnb.runtime.streaming import Producer

#: (lease, call id, index, code, payload); one input.
Job = tuple[int, str, int, str, object]
#: The inputs of one invocation: a job, or the list of jobs of a batch.
Work = Job | list[Job]


def first_of(work: Work) -> Job:
    """The job, or the first one of the batch."""
    return work[0] if isinstance(work, list) else work


def jobs_of(work: Work) -> list[Job]:
    """The jobs of one invocation."""
    return work if isinstance(work, list) else [work]


class Run:
    """One invocation under way."""

    __slots__ = (
        "is_over",
        "is_stopped",
        "leases",
        "producer",
        "started",
        "task",
        "thread",
        "was_raised",
    )

    def __init__(self, work: Work) -> None:
        #: The leases that somebody still wants; empty when the run is to be stopped.
        self.leases = {job[0] for job in work} if isinstance(work, list) else {work[0]}
        self.started = time.perf_counter()
        #: The thread or the task that executes it.
        self.thread: int | None = None
        self.task: asyncio.Task[None] | None = None
        #: What sends the elements that it yields, if it does.
        self.producer: Producer | None = None
        self.is_stopped = False
        #: The user's code has ended; what is left is to tell its outcome.
        self.is_over = False
        #: The exception that stops it was raised; it is raised only once.
        self.was_raised = False
