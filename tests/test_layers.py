"""The house rules that a machine can check: layers, lint, types and sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "modalnb"

MAX_MODULE = 400
MAX_FUNCTION = 60


def _run(*command: str) -> str:
    """Run a tool of this environment in the repository; its output is the failure's text."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_imports_follow_the_layers() -> None:
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_ruff_finds_nothing() -> None:
    _run("ruff", "check", ".")
    _run("ruff", "format", "--check", ".")


def test_mypy_strict_finds_nothing() -> None:
    _run("mypy")


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_to_its_size(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_MODULE
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line says what the file is for"
    too_long = [f"{name}: {size}" for name, size in _functions(tree) if size > MAX_FUNCTION]
    assert not too_long


def _functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Functions with the number of lines of their bodies, docstrings left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_most_functions_are_small() -> None:
    sizes = sorted(
        size for path in _modules() for _, size in _functions(ast.parse(path.read_text()))
    )
    assert sizes[len(sizes) // 2] <= 8
    assert sizes[int(len(sizes) * 0.95)] <= 40


def test_private_names_of_dask_are_used_in_one_file_only() -> None:
    others = [path for path in _modules() if path.name != "_dask_compat.py"]
    private = (
        "client._stream_handlers",
        "_send_to_scheduler",
        "heartbeat_interval",
        "batched_stream",
    )
    found = [(path.name, name) for path in others for name in private if name in path.read_text()]
    assert not found
