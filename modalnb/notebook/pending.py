"""Names that cells in containers will bring back: whoever mentions one before waits for it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from modalnb.notebook.names import Names, analyse, mentioned

if TYPE_CHECKING:
    from modalnb.notebook.cell_jobs import CellJob


class Pending:
    """The names that running cell jobs will assign, and the jobs that will do it.

    As a transformer of IPython it puts a wait in front of a cell that mentions one of them, so
    that a notebook means the same whether its ``%%remote`` cells block or not.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, CellJob] = {}

    def add(self, names: Iterable[str], job: CellJob) -> None:
        """The job will assign these names."""
        self._jobs |= dict.fromkeys(names, job)

    def needed(self, names: Names) -> list[str]:
        """The names on their way that code with these names has to wait for.

        What it imports by itself is the same module, wherever it comes from.
        """
        return sorted(self._jobs.keys() & ((names.used | names.assigned) - names.imported))

    def remove(self, job: CellJob) -> None:
        """The job is over."""
        self._jobs = {name: other for name, other in self._jobs.items() if other is not job}

    @property
    def names(self) -> set[str]:
        """The names that are on their way."""
        return set(self._jobs)

    def wait(self, *names: str) -> None:
        """Wait until the jobs that assign these names are over.

        Raises
        ------
        ExecutionError
            If one of them failed, so that the names are not what the caller expects.
        """
        __tracebackhide__ = True
        for name in names:
            job = self._jobs.get(name)
            if job is not None:
                job.wait_for_name(name)

    def visit(self, tree: ast.Module) -> ast.Module:
        """Called by IPython with each cell before it runs."""
        jobs = self._jobs
        names: list[str] = []
        if jobs and not _is_remote(tree):
            names = sorted(jobs.keys() & (mentioned(tree) - analyse(tree).imported))
        if names:
            texts = ", ".join(repr(name) for name in names)
            module = "__import__('modalnb.notebook.extension').notebook.extension"
            [call] = ast.parse(f"{module}.wait({texts})").body
            place = next((n for n, node in enumerate(tree.body) if not _is_future(node)), 0)
            for node in ast.walk(call):
                ast.copy_location(node, tree.body[place])
            tree.body.insert(place, call)
        return tree


def _is_future(node: Any) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_remote(tree: ast.Module) -> bool:
    """Whether this is a ``%%remote`` cell, which knows better what it needs."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    calls = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return "run_cell_magic" in calls and "remote" in texts
