"""Runs code in the notebook itself, as the cell around it would have."""

from __future__ import annotations

import ast
from typing import Any

from modalnb.notebook.remote import in_place


def run_here(shell: Any, text: str, body: str) -> Any:
    """Run the body of a cell magic; returns the value of its last expression.

    Errors pass through, unlike with ``run_cell``, so that the cells after it are not run.
    """
    __tracebackhide__ = True
    filename = shell.compile.cache(text, shell.execution_count, raw_code=text)
    tree = ast.parse(in_place(text, body, shell.transform_cell(body)), filename)
    tree = shell.transform_ast(tree)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(shell.compile(tree, filename, "exec"), shell.user_ns)
    if last is None:
        return None
    return eval(shell.compile(ast.Expression(last.value), filename, "eval"), shell.user_ns)
