"""``%logs``: what a job, a container or a function printed last, and what it prints from now on."""

from __future__ import annotations

import sys
import time
from typing import Any

from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.exception import NotFoundError
from modalnb.notebook import calls
from modalnb.notebook.job import Job
from modalnb.notebook.job_calls import Jobs

FOLLOW_SECONDS = 0.25

#: (container id, stream, text)
Line = tuple[str, str, str]


class Log:
    """The lines of one job, one container or one function, read bit by bit.

    Raises
    ------
    NotFoundError
        If there is no job, container or function of that name, or nothing was ever used.
    """

    def __init__(self, jobs: Jobs, which: str | None) -> None:
        known = list(jobs)
        if which is None and known:
            which = known[-1].job_id
        self.job: Job | None = jobs.get(which) if which else None
        self._where = {} if self.job is not None else _where(which)
        self._seen = 0

    def read(self, count: int) -> list[Line]:
        """The lines that came since the last time, at most `count`."""
        if self.job is not None:
            lines, self._seen = self.job.logs(self._seen)
            return lines[-count:]
        session = current.session()
        found = ask(session.stub, "tail", count=count, since=self._seen, **self._where)
        if found:
            self._seen = found[-1][0]
        return [(container, stream, text) for _, container, _, _, stream, text in found]

    @property
    def is_over(self) -> bool:
        """Whether no more lines will come."""
        return self.job is not None and self.job.is_ended


def _where(which: str | None) -> dict[str, Any]:
    session = current.session()
    if session is None or not session.is_open:
        raise NotFoundError("Nothing was printed yet: no function has been used.")
    if which is None:
        return {}
    for pool in calls.snapshots():
        if pool.function == which:
            return {"pool_id": pool.pool_id}
    if not ask(session.stub, "tail", count=1, container_id=which):
        raise NotFoundError(f"No job, container or function `{which}` has printed anything.")
    return {"container_id": which}


def show(log: Log, count: int, *, follow: bool) -> None:
    """Print what there is; with `follow`, go on until the job ends or an interrupt comes."""
    while True:
        # A job that ends after this was asked leaves its last lines for the next round.
        is_last = log.is_over or not follow
        for container, stream, text in log.read(count):
            tag = "" if log.job is not None else f"[{container}] "
            print(f"{tag}{text}", end="", file=sys.stderr if stream == "stderr" else sys.stdout)
        if is_last:
            return
        time.sleep(FOLLOW_SECONDS)
