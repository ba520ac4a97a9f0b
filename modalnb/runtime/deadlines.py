"""Notices which invocations have taken longer than their timeout, at no cost for each input."""

from __future__ import annotations

import asyncio
import faulthandler
import time
from collections.abc import Callable, Mapping

from modalnb.runtime.work import Run

#: A process that says nothing for two timeouts gets so many seconds more.
GUARD_SECONDS = 5.0


class Deadlines:
    """One timer of the container's loop, set to the first moment at which a run can be overdue."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runs: Mapping[int, Run],
        *,
        is_loading: Callable[[], bool],
        on_overdue: Callable[[Run, list[int]], None],
        on_in_time: Callable[[float], None],
        guards_process: bool,
    ) -> None:
        self._loop = loop
        self._runs = runs
        self._is_loading = is_loading
        self._on_overdue = on_overdue
        self._on_in_time = on_in_time
        self._timeout = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._guards_process = guards_process

    @property
    def timeout(self) -> float:
        """Seconds that an invocation may take."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        is_shorter = seconds < self._timeout
        self._timeout = seconds
        if is_shorter and self._timer is not None:
            self._timer.cancel()
            self._check()

    @property
    def is_watching(self) -> bool:
        """Whether there is a time to look at what runs."""
        return self._timer is not None

    def watch(self) -> None:
        """There is work: from now on look at it, and tell the plane that this container can."""
        if self._timer is None and self._timeout < float("inf"):
            self._timer = self._loop.call_later(self._timeout, self._check)
            self._guard()

    def _guard(self) -> None:
        """End this process if its loop, which looks once in a timeout, cannot do so for two.

        Code that holds the interpreter stops the loop, and only the system can still end it.  In
        processes of ours the engine sees to that.
        """
        if not self._guards_process:
            return
        faulthandler.cancel_dump_traceback_later()
        if self._timer is not None:
            seconds = 2 * self._timeout + GUARD_SECONDS
            faulthandler.dump_traceback_later(seconds, exit=True, file=2)

    def _check(self) -> None:
        self._timer = None
        now = time.perf_counter()
        late: dict[Run, list[int]] = {}
        earliest = float("inf")
        for lease, run in list(self._runs.items()):
            if run.is_stopped:
                continue
            if now - run.started >= self._timeout:
                late.setdefault(run, []).append(lease)
            else:
                earliest = min(earliest, run.started)
        for run, leases in late.items():
            self._on_overdue(run, leases)
        # What starts from now on is not overdue before a whole timeout has passed.
        if self._runs or self._is_loading():
            age = max(0.0, now - earliest)
            if not late:
                self._on_in_time(age)
            self._timer = self._loop.call_later(self._timeout - age, self._check)
        self._guard()
