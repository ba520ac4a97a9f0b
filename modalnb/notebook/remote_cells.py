"""What ``%%remote`` and ``%remote`` do: read the cell, take its names along, start its job."""

from __future__ import annotations

import ast
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError

from modalnb.api import printing
from modalnb.exception import Error
from modalnb.notebook import capture, errors
from modalnb.notebook.board import card_mode
from modalnb.notebook.cell_jobs import CellJob
from modalnb.notebook.job_calls import CallView
from modalnb.notebook.mode import is_run_by_hand
from modalnb.notebook.names import mentioned
from modalnb.notebook.remote import DEFAULT_POOL, Draft, read
from modalnb.notebook.session import NotebookSession
from modalnb.notebook.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of one cell.

    ``variable`` and ``elements`` are those of ``--map``; ``out`` is the name that gets the value.
    """

    pool: str = DEFAULT_POOL
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: int = capture.DEFAULT_LIMIT
    variable: str = ""
    elements: Iterable[Any] = ()
    out: str | None = None
    wants_value: bool = True
    shows_value: bool = False
    is_quiet: bool = False


def run_cell(
    session: NotebookSession,
    options: Namespace,
    settings: Mapping[str, Any],
    text: str,
    body: str,
) -> Table | None:
    """Run a ``%%remote`` cell as its options say."""
    __tracebackhide__ = True
    variable, elements = _elements(session, options.map)
    draft = _read(session, text, body, variable)
    if options.dry_run:
        return dry_run(draft)
    wish = Wish(
        pool=options.name or DEFAULT_POOL,
        settings=settings,
        limit=_limit(options.capture_limit),
        variable=variable,
        elements=elements,
        out=options.out,
        wants_value=bool(options.out or options.job or variable),
        shows_value=not variable,
        is_quiet=options.quiet,
    )
    job = start(session, draft, wish)
    if options.job:
        session.shell.user_ns[options.job] = job
    if options.block or (not options.noblock and not is_run_by_hand(session.shell)):
        wait(session, job)
    else:
        job.on_end.append(lambda _: _show_failure(session, job))
    return None


def run_expression(session: NotebookSession, line: str) -> Any:
    """Run ``%remote expression``; returns its value."""
    __tracebackhide__ = True
    if not line.strip():
        raise UsageError("`%remote` needs an expression; `%%remote` runs a whole cell.")
    job = start(session, _read(session, line, line, ""), Wish())
    wait(session, job)
    return job.result()


def _read(session: NotebookSession, text: str, body: str, variable: str) -> Draft:
    """Read a cell; waits for names that it needs and that are on their way back."""
    __tracebackhide__ = True
    given = [variable] if variable else []
    draft = read(session.shell, text, body, given=given)
    names = session.pending.needed(draft.names)
    if not names:
        return draft
    session.pending.wait(*names)
    return read(session.shell, text, body, given=given)


def _elements(session: NotebookSession, words: list[str] | None) -> tuple[str, Iterable[Any]]:
    """The name and the elements that ``--map NAME=ITERABLE`` says."""
    __tracebackhide__ = True
    if words is None:
        return "", ()
    text = " ".join(words)
    if text[:1] == text[-1:] and text[:1] in ("'", '"'):
        text = text[1:-1]
    name, equals, source = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise UsageError("`--map` needs NAME=ITERABLE, such as `--map n=range(10)`.")
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except SyntaxError:
        raise UsageError(f"`--map` needs an expression after `=`; got {source!r}.") from None
    session.pending.wait(*sorted(session.pending.names & mentioned(tree)))
    elements = session.shell.ev(source.strip())
    if not isinstance(elements, Iterable):
        raise UsageError(f"`--map` needs something to iterate over; {source} is no iterable.")
    return name.strip(), elements


def _limit(megabytes: float | None) -> int:
    return capture.DEFAULT_LIMIT if megabytes is None else round(megabytes * capture.MEGABYTE)


# -- jobs --------------------------------------------------------------------------------------


def start(session: NotebookSession, draft: Draft, wish: Wish) -> CellJob:
    """Start the job of a cell; its card is shown, and its names are on their way from now on."""
    __tracebackhide__ = True
    namespace = session.shell.user_ns
    try:
        packed = capture.pack(draft.values, namespace, wish.limit)
    except Error as error:
        raise errors.trimmed(error, session.shell) from error.__cause__
    cell = draft.cell_for(
        wants_value=wish.wants_value, shows_value=wish.shows_value, keeps_names=not wish.variable
    )
    job = _new_job(session, wish)
    if wish.variable:
        size = len(wish.elements) if isinstance(wish.elements, Sized) else None
        view = CallView(job, size)
        results = session.pools.map(
            wish.pool, wish.settings, cell, packed, view, wish.variable, wish.elements
        )
    else:
        view = CallView(job, 1)
        results = session.pools.run(wish.pool, wish.settings, cell, packed, view)
    # A module that is here already is none to wait for.
    here = draft.names.imported & namespace.keys()
    session.pending.add({*cell.assigned, *filter(None, [wish.out])} - here, job)
    job.on_end += [session.pending.remove, session.board.retire]
    session.board.show(job)
    job.start(results)
    return job


def _new_job(session: NotebookSession, wish: Wish) -> CellJob:
    board, shell = session.board, session.shell
    job = CellJob(board.jobs.next_id(), wish.pool, shell.execution_count, board.cell_id())
    job.parent = printing.running_cell()
    job.mode = "none" if wish.is_quiet else card_mode(shell)
    job.namespace, job.out = shell.user_ns, wish.out
    job.wants_value, job.is_map = wish.wants_value, bool(wish.variable)
    board.jobs.add(job)
    return job


def wait(session: NotebookSession, job: CellJob) -> None:
    """Wait for the end of a job; an interrupt cancels it, and with it the cells that follow."""
    __tracebackhide__ = True
    try:
        job.result()
    except KeyboardInterrupt:
        job.interrupt()
        raise
    except Exception as error:
        raise errors.trimmed(error, session.shell) from error.__cause__
    if job.note and job.mode == "none":
        print(f"modalnb: {job.note}", file=sys.stderr)


def _show_failure(session: NotebookSession, job: CellJob) -> None:
    """Show in its cell why a job failed that nobody waits for."""
    if job.error is not None and job.stage == "failed":
        errors.show(session.shell, job.error, job.parent)


def dry_run(draft: Draft) -> Table:
    """What a cell would take along and bring back, with sizes; nothing is sent."""
    items = capture.measure(draft.values)
    total = sum(item.size for item in items)
    sizes = ["" if item.problem else capture.size_words(item.size) for item in items]
    words = [f"{capture.size_words(total)} in all."]
    if total > capture.DEFAULT_LIMIT:
        words.append(capture.too_big(items, total, capture.DEFAULT_LIMIT))
    words.append(f"Brings back: {', '.join(draft.cell.assigned) or 'nothing'}.")
    return Table(
        ("name", "type", "size", "problem"),
        [(i.name, i.kind, size, i.problem) for i, size in zip(items, sizes, strict=True)],
        [item.to_dict() for item in items],
        title="The cell takes along:",
        note=" ".join(words),
    )
