"""What one notebook has: its jobs, its pools for cells, and names that are on their way back."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError

from modalnb.api.app import App
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

    @property
    def apps(self) -> dict[str, App]:
        """The apps of the notebook by variable, and that of its cells if there were any."""
        apps = {n: v for n, v in self.shell.user_ns.items() if isinstance(v, App) and n[0] != "_"}
        if self.pools.names:
            apps.setdefault(str(self.pools.app.name), self.pools.app)
        return apps

    def app_of(self, name: str | None) -> App:
        """The app that a magic's argument means: a variable; without one, the only app there is."""
        apps = self.apps
        if name is None and len(set(map(id, apps.values()))) == 1:
            return next(iter(apps.values()))
        if name not in apps:
            names = ", ".join(f"`{other}`" for other in sorted(apps)) or "none yet"
            what = f"There is no app `{name}`" if name else "Say which app"
            raise UsageError(f"{what}; there are: {names}.{hint(name or '', apps)}")
        return apps[name]
