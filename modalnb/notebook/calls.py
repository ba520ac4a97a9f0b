"""What the magics do, as plain calls: ``modalnb.notebook.jobs()`` and the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modalnb.api import current, display
from modalnb.api.scaling import Scalable
from modalnb.api.waiting import ask
from modalnb.exception import NotFoundError
from modalnb.notebook.capture import size_words
from modalnb.notebook.job import Job
from modalnb.notebook.job_calls import Jobs
from modalnb.notebook.job_facts import seconds_words
from modalnb.notebook.tables import Table
from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import AppSnapshot, ContainerStats, PoolSnapshot

if TYPE_CHECKING:
    from modalnb.plane.stub import Stub


def snapshots() -> list[PoolSnapshot]:
    """All pools of the engine in use; none if there is no engine, since looking starts none."""
    session = current.session()
    if session is None or not session.is_open:
        return []
    apps = (AppSnapshot.from_dict(facts) for facts in ask(session.stub, "snapshot"))
    return [pool for app in apps for pool in app.pools]


# -- containers --------------------------------------------------------------------------------


def containers(function: str | None = None) -> Table:
    """The containers of all functions, or of the functions of one name.

    Examples
    --------
    >>> import modalnb.notebook
    >>> modalnb.notebook.containers()  # doctest: +SKIP
    """
    pools = [pool for pool in snapshots() if function in (None, pool.function)]
    found = [(pool, container) for pool in pools for container in pool.containers]
    head = ("container", "function", "state", "running", "done", "up", "idle", "memory")
    return Table(
        head,
        [_container_row(pool, container) for pool, container in found],
        [_container_facts(pool, container) for pool, container in found],
        note="" if found else "No containers." if pools else "No containers: no function was used.",
    )


def _container_row(pool: PoolSnapshot, container: ContainerStats) -> tuple[str, ...]:
    now = pool.taken_at
    idle = container.idle_since if container.state == "idle" else None
    return (
        container.container_id,
        pool.function,
        container.state,
        str(container.running),
        f"{container.inputs_done:,}",
        seconds_words(now - container.started_at),
        "" if idle is None else seconds_words(now - idle),
        "" if container.memory is None else size_words(container.memory),
    )


def _container_facts(pool: PoolSnapshot, container: ContainerStats) -> dict[str, Any]:
    return {
        "container": container.container_id,
        "app": pool.app,
        "function": pool.function,
        "state": container.state,
        "running": container.running,
        "done": container.inputs_done,
        "up": pool.taken_at - container.started_at,
        "idle": None if container.idle_since is None else pool.taken_at - container.idle_since,
        "memory": container.memory,
        "cpu": container.cpu,
        "pid": container.pid,
        "host": container.host,
    }


# -- jobs --------------------------------------------------------------------------------------


def job_table(known: Jobs) -> Table:
    """The jobs of a notebook as a table."""
    facts = [job.facts() for job in known]
    head = ("job", "function", "cell", "state", "done", "failed", "time")
    rows = [
        (
            job.job_id,
            job.function,
            "" if job.cell is None else str(job.cell),
            job.stage,
            f"{job.done:,} of {job.expected:,}" if job.expected else "",
            f"{job.failed:,}" if job.failed else "",
            seconds_words(job.elapsed),
        )
        for job in facts
    ]
    return Table(head, rows, [f.to_dict() for f in facts], note="" if rows else "No jobs yet.")


def job_of(known: Jobs, job_id: str | None) -> Job:
    """The job of that id; without one, the last that is under way.

    Raises
    ------
    NotFoundError
        If there is no such job.
    """
    if job_id is not None:
        job = known.get(job_id)
        if job is None:
            raise NotFoundError(f"There is no job `{job_id}`.")
        return job
    running = [job for job in known if not job.is_ended]
    if not running:
        raise NotFoundError("No job is under way.")
    return running[-1]


# -- the autoscaler ----------------------------------------------------------------------------


def scaling(owner: Scalable) -> Table:
    """How a function scales: what is declared, what is in force, and the last decision."""
    pool = owner.snapshot()
    declared, effective = pool.static.to_dict(), pool.settings.to_dict()
    rows = [(n, _shown(n, declared[n]), _shown(n, effective[n])) for n in declared]
    facts = [{"setting": n, "declared": declared[n], "in_force": effective[n]} for n in declared]
    state = f"{display.pool_words(pool)}."
    return Table(
        ("setting", "declared", "in force"),
        rows,
        facts,
        title=f"Autoscaler of {pool.function}",
        note=f"{state} {pool.reason}".strip(),
    )


def change(owner: Scalable, values: Mapping[str, Any]) -> Table:
    """Change how a function scales; shows what was in force before, and what is now."""
    before = owner.snapshot().settings.to_dict()
    owner.update_autoscaler(**values)
    pool = owner.snapshot()
    after = pool.settings.to_dict()
    changed = [name for name in before if before[name] != after[name]]
    rows = [(n, f"{_shown(n, before[n])} → {_shown(n, after[n])}") for n in changed]
    facts = [{"setting": n, "before": before[n], "after": after[n]} for n in changed]
    return Table(
        ("setting", "before → after"),
        rows,
        facts,
        title=f"Autoscaler of {pool.function}",
        note="" if rows else "That was in force already.",
    )


@contextmanager
def held(owner: Scalable, values: Mapping[str, Any]) -> Iterator[None]:
    """Let settings be in force for the length of a block, and those before it again afterwards."""
    before = owner.snapshot().settings
    owner.update_autoscaler(**values)
    try:
        yield
    finally:
        owner.update_autoscaler(**_restoring(before, values))


def _restoring(before: AutoscalerSettings, values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that bring back what was in force; ``None`` would keep what is."""
    old = {name: getattr(before, name) for name in values}
    return {name: 0 if value is None else value for name, value in old.items()}


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "unlimited"
    return f"{value:g} s" if name == "scaledown_window" else f"{value:g}"


class PoolHandle(Scalable):
    """A pool that no variable of the notebook stands for."""

    def __init__(self, pool: PoolSnapshot) -> None:
        self._name = pool.function
        self._id = pool.pool_id

    def _pool_id(self, stub: Stub) -> str:
        return self._id


def find_function(namespace: Mapping[str, Any], name: str) -> Scalable | None:
    """The function that a name means: a variable of the notebook, else a pool of that name."""
    value: Any = namespace.get(name.partition(".")[0])
    for part in name.split(".")[1:]:
        value = getattr(value, part, None)
    if isinstance(value, Scalable):
        return value
    for pool in snapshots():
        if pool.function == name:
            return PoolHandle(pool)
    return None


def known_functions(namespace: Mapping[str, Any]) -> list[str]:
    """The names by which :func:`find_function` finds something."""
    here = [n for n, v in namespace.items() if isinstance(v, Scalable) and not n.startswith("_")]
    return sorted({*here, *(pool.function for pool in snapshots())})
