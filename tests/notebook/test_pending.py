"""Cells that mention a name on its way wait for it; all others are left as they are."""

from __future__ import annotations

import ast

import pytest

from modalnb.notebook.cell_jobs import CellJob
from modalnb.notebook.names import analyse
from modalnb.notebook.pending import Pending


@pytest.fixture
def pending() -> Pending:
    known = Pending()
    known.add(["x", "y"], CellJob("j1", "remote", 1, "cell"))
    return known


@pytest.mark.parametrize(
    ("code", "waits_for"),
    [
        ("print(x)", "'x'"),
        ("x = 1", "'x'"),
        ("def f(): return [y for _ in x]", "'x', 'y'"),
        ("get_ipython().run_line_magic('time', 'x')", "'x'"),
        ("z = 1", None),
        ("import x\nx.y = y", "'y'"),
        ("get_ipython().run_cell_magic('remote', '', 'x + 1')", None),
    ],
)
def test_wait_is_put_in_front(pending: Pending, code: str, waits_for: str | None) -> None:
    tree = pending.visit(ast.parse(code))
    first = ast.unparse(tree.body[0])
    assert (f".wait({waits_for})" in first) is (waits_for is not None)
    compile(tree, "cell", "exec")


def test_future_imports_stay_in_front(pending: Pending) -> None:
    tree = pending.visit(ast.parse("from __future__ import annotations\nx"))
    assert ".wait(" in ast.unparse(tree.body[1])
    compile(tree, "cell", "exec")


def test_imports_are_not_waited_for(pending: Pending) -> None:
    assert pending.needed(analyse(ast.parse("import x\nz = y + x.z"))) == ["y"]
    assert pending.needed(analyse(ast.parse("x = 1"))) == ["x"]


def test_nothing_waits_when_the_job_is_over(pending: Pending) -> None:
    pending.remove(pending._jobs["x"])
    assert pending.names == set()
    assert ast.unparse(pending.visit(ast.parse("x"))) == "x"
