"""What one notebook has: its jobs, its pools for cells, and names that are on their way back."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError

from modalnb.api.scaling import Scalable
from modalnb.exception import NotFoundError
from modalnb.notebook import calls
from modalnb.notebook.board import Board
from modalnb.notebook.job import Job
from modalnb.notebook.options import hint
from modalnb.notebook.pending import Pending
from modalnb.notebook.remote import Pools


class NotebookSession:
    """The state behind the magics of one IPython."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.board = Board(shell)
        self.pools = Pools()
        self.pending = Pending()

    def pool_of(self, name: str | None, magic: str) -> Scalable:
        """The function that a magic's argument means."""
        if not name:
            raise UsageError(f"`{magic}` needs a function, such as `{magic} my_function`.")
        found = calls.find_function(self.shell.user_ns, name)
        if found is None:
            known = calls.known_functions(self.shell.user_ns)
            names = ", ".join(f"`{other}`" for other in known) or "none yet"
            raise UsageError(
                f"There is no function `{name}`; there are: {names}.{hint(name, known)}"
            )
        return found

    def job_of(self, job_id: str | None) -> Job:
        """The job that a magic's argument means; without one, the last under way."""
        try:
            return calls.job_of(self.board.jobs, job_id)
        except NotFoundError as error:
            known = [job.job_id for job in self.board.jobs]
            raise UsageError(f"{error}{hint(job_id, known) if job_id else ''}") from None
