"""The magics: they parse a line, do what a plain call does, and show it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, magic_arguments

from modalnb.exception import NotFoundError
from modalnb.notebook import calls, checks, errors, remote_cells
from modalnb.notebook.log import Log, show
from modalnb.notebook.options import AUTOSCALER, COMMANDS, POOL, arguments, given, hint, parse
from modalnb.notebook.running import run_here

if TYPE_CHECKING:
    from modalnb.notebook.session import NotebookSession


@magics_class
class ModalnbMagics(Magics):
    """What ``%load_ext modalnb`` adds to IPython."""

    def __init__(self, shell: Any, session: NotebookSession) -> None:
        super().__init__(shell)
        self._session = session

    # -- cells in containers ---------------------------------------------------------------

    @no_var_expand
    @magic_arguments()
    @arguments(POOL)
    @argument("-n", "--name", default=None, help="the pool: cells of one name share containers")
    @argument("-o", "--out", metavar="NAME", help="gets the value of the last expression")
    @argument("-j", "--job", metavar="NAME", help="gets the job: its result(), cancel(), stage")
    @argument(
        "--map",
        nargs="+",
        metavar="NAME=ITERABLE",
        help="run the cell once for each element, in parallel; -o gets the list of the values",
    )
    @argument("-b", "--block", action="store_true", help="wait for the end of the cell")
    @argument("-a", "--noblock", action="store_true", help="return at once")
    @argument("-q", "--quiet", action="store_true", help="show no card")
    @argument("--dry-run", action="store_true", help="list what the cell would take along")
    @argument(
        "--capture-limit",
        type=float,
        default=None,
        metavar="MB",
        help="how much of the notebook's data may travel; 10 unless given",
    )
    @line_cell_magic
    def remote(self, line: str, cell: str | None = None) -> Any:
        """Run this cell in a container; as ``%remote expression``, run one expression.

        The cell takes along the values of the names that it uses, and the names that it assigns
        come back into the notebook. What it prints and displays appears here, live; what it raises
        is raised here, with its own lines. Cells of one ``--name`` run in the same warm containers.

        The cell shows a card and returns at once; a later cell that mentions a name that is on its
        way back waits for it. With ``-b``, and where nobody sits at the notebook (nbconvert,
        papermill, a terminal), it waits for its end. Changes *inside* of captured objects stay in
        the container: assign what shall come back.
        """
        __tracebackhide__ = True
        if cell is None:
            return remote_cells.run_expression(self._session, line)
        options = parse(self.remote, line)
        if options.block and options.noblock:
            raise UsageError("Give either `--block` or `--noblock`, not both.")
        text = f"%%remote {line}".rstrip() + f"\n{cell}"
        return remote_cells.run_cell(self._session, options, given(options, POOL), text, cell)

    # -- the autoscaler --------------------------------------------------------------------

    @magic_arguments()
    @argument("function", nargs="?", help="a function of the notebook, or the name of a pool")
    @arguments(AUTOSCALER)
    @line_cell_magic
    def autoscaler(self, line: str, cell: str | None = None) -> Any:
        """Show how a function scales and why, or change it: ``%autoscaler f --min-containers 2``.

        As ``%%autoscaler f …`` the change holds for this cell only: what was in force before is in
        force again when the cell ends, however it ends.
        """
        __tracebackhide__ = True
        options = parse(self.autoscaler, line)
        owner = self._session.pool_of(options.function, "%autoscaler")
        values = given(options, AUTOSCALER)
        if cell is None:
            return calls.change(owner, values) if values else calls.scaling(owner)
        if not values:
            raise UsageError("`%%autoscaler` needs a setting, such as `--min-containers 2`.")
        with calls.held(owner, values):
            try:
                return run_here(self.shell, f"%%autoscaler {line}\n{cell}", cell)
            except Exception as error:
                raise errors.trimmed(error, self.shell) from error.__cause__

    # -- what is there ---------------------------------------------------------------------

    @line_magic
    def containers(self, line: str) -> Any:
        """Show the containers of all functions, or of one: ``%containers f``."""
        name = line.strip()
        if name:
            name = self._session.pool_of(name, "%containers").snapshot().function
        return calls.containers(name or None)

    @line_magic
    def jobs(self, line: str) -> Any:
        """Show the jobs of this notebook, newest last: the calls of its cells, and ``%%remote``."""
        if line.strip():
            raise UsageError("`%jobs` takes no argument; `%logs JOB` shows what a job printed.")
        return calls.job_table(self._session.board.jobs)

    @magic_arguments()
    @argument("which", nargs="?", help="a job, a container or a function; the last job if omitted")
    @argument("-f", "--follow", action="store_true", help="go on until the job ends")
    @argument("-n", "--lines", type=int, default=100, metavar="N", help="lines at most")
    @line_magic
    def logs(self, line: str) -> None:
        """Show what a job, a container or a function printed last."""
        __tracebackhide__ = True
        options = parse(self.logs, line)
        try:
            log = Log(self._session.board.jobs, options.which)
        except NotFoundError as error:
            raise UsageError(str(error)) from None
        show(log, options.lines, follow=options.follow)

    @line_magic
    def cancel(self, line: str) -> None:
        """Cancel a job: ``%cancel j3``; without a name, the last one under way."""
        __tracebackhide__ = True
        job = self._session.job_of(line.strip() or None)
        if job.is_ended:
            print(f"Job {job.job_id} has ended already: {job.stage}.")
        else:
            job.cancel()
            print(f"Job {job.job_id} of {job.function} is being cancelled.")

    @line_magic
    def modalnb(self, line: str) -> Any:
        """Check this notebook, show an app live, or list and change settings.

        ``%modalnb doctor`` says what the notebook has and lacks, ``%modalnb dashboard [APP]`` shows
        an app live, ``%modalnb config [NAME=VALUE …]`` lists and changes settings.
        """
        __tracebackhide__ = True
        command, *rest = shlex.split(line) or [""]
        if command == "doctor" and not rest:
            return checks.doctor(self.shell)
        if command == "config":
            return checks.configure(rest)
        if command == "dashboard" and len(rest) <= 1:
            return self._session.app_of(rest[0] if rest else None).dashboard()
        choices = ", ".join(f"`%modalnb {name}`" for name in COMMANDS)
        raise UsageError(f"There are {choices}.{hint(command, COMMANDS)}")
