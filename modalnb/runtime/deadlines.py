"""Notices which invocations have taken longer than their timeout, at no cost for each input."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from modalnb.runtime.work import Run


class Deadlines:
    """One timer of the container's loop, set to the first moment at which a run can be overdue."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runs: Mapping[int, Run],
        on_overdue: Callable[[Run, list[int]], None],
    ) -> None:
        self._loop = loop
        self._runs = runs
        self._on_overdue = on_overdue
        self._timeout = float("inf")
        self._timer: asyncio.TimerHandle | None = None

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

    def watch(self) -> None:
        """There is work: from now on look at it."""
        if self._timer is None and self._timeout < float("inf"):
            self._timer = self._loop.call_later(self._timeout, self._check)

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
        if self._runs:
            left = min(earliest, now) + self._timeout - now
            self._timer = self._loop.call_later(max(0.0, left), self._check)
