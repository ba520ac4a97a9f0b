"""What the magics do, as plain calls; they are reached as ``modalnb.notebook.jobs()`` and so on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modalnb.api.scaling import Scalable
from modalnb.exception import ExecutionError
from modalnb.notebook import calls, checks, extension, remote_cells
from modalnb.notebook.calls import containers
from modalnb.notebook.cell_jobs import CellJob
from modalnb.notebook.job import Job
from modalnb.notebook.log import Log
from modalnb.notebook.remote import DEFAULT_POOL, read
from modalnb.notebook.session import NotebookSession
from modalnb.notebook.tables import Table

__all__ = ["autoscaler", "cancel", "containers", "doctor", "find_job", "jobs", "logs", "run_cell"]


def _session() -> NotebookSession:
    session = extension.session()
    if session is None:
        raise ExecutionError("This is for notebooks: run `%load_ext modalnb` in one first.")
    return session


def jobs() -> Table:
    """The jobs of this notebook, oldest first; iterate over it for their facts as dicts."""
    return calls.job_table(_session().board.jobs)


def find_job(job_id: str | None = None) -> Job:
    """The job of that id; without one, the last that is under way.

    Raises
    ------
    NotFoundError
        If there is no such job.
    """
    return calls.job_of(_session().board.jobs, job_id)


def cancel(job_id: str | None = None) -> None:
    """Cancel a job: pending inputs at once, running ones by an exception in their code."""
    find_job(job_id).cancel()


def logs(which: str | None = None, lines: int = 100) -> str:
    """The last lines of a job, a container or a function; of the last job if none is named."""
    return "".join(text for _, _, text in Log(_session().board.jobs, which).read(lines))


def autoscaler(function: Scalable, **values: Any) -> Table:
    """How a function scales; with values, change it, and see what was in force before.

    Examples
    --------
    >>> modalnb.notebook.autoscaler(square, min_containers=2)  # doctest: +SKIP
    """
    return calls.change(function, values) if values else calls.scaling(function)


def doctor() -> Table:
    """What this notebook depends on, and what to do where it lacks."""
    session = extension.session()
    return checks.doctor(session.shell if session is not None else None)


def run_cell(
    code: str,
    *,
    name: str = DEFAULT_POOL,
    variable: str = "",
    elements: Iterable[Any] = (),
    out: str | None = None,
    **settings: Any,
) -> CellJob:
    """Run code in a container as ``%%remote`` does, and return its job at once.

    Parameters
    ----------
    code : str
        The names that it uses go along, those that it assigns come back.
    name : str
        The pool; code of one name shares warm containers.
    variable, elements : optional
        Run it once for each element, which it knows by the name of `variable`.
    out : str, optional
        A name of the notebook that gets the value of the last expression.
    **settings
        Of the pool, as for ``@app.function``: ``min_containers``, ``gpu`` …

    Examples
    --------
    >>> job = modalnb.notebook.run_cell("1 + 1")  # doctest: +SKIP
    >>> job.result()  # doctest: +SKIP
    2
    """
    session = _session()
    draft = read(session.shell, code, code, given=[variable] if variable else ())
    wish = remote_cells.Wish(
        pool=name,
        settings=settings,
        variable=variable,
        elements=elements,
        out=out,
        shows_value=False,
    )
    return remote_cells.start(session, draft, wish)
