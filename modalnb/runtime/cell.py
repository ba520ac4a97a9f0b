"""Runs the code of a notebook cell in a container and hands back the names that it assigned."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import linecache
import sys
import time
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from modalnb.exception import SerializationError
from modalnb.payload.packed import Packed, anchored
from modalnb.runtime import context


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The code of a cell as it travels: plain Python, with the line numbers of the cell."""

    source: str
    #: The name under which the notebook knows the cell, and what a traceback shows of it.
    filename: str
    text: str
    #: Names whose values go back; those in `changed` also if they are still the same object.
    assigned: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    wants_value: bool = False
    shows_value: bool = True
    #: Compiler flags of the notebook, such as those of ``from __future__ import annotations``.
    flags: int = 0
    path: tuple[str, ...] = ()


#: Where the exception of a cell carries what the cell had assigned before, as a `CellOutput`; a
#: larger one stays behind, since exceptions take the long way.
OUTPUT = "__modalnb_output__"
MOST_BESIDE_AN_ERROR = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutput:
    """What a cell leaves behind: a pack of its names, its value and the globals of both."""

    packed: Packed
    modules: dict[str, str] = field(default_factory=dict)
    #: What could not be pickled, with the reason; the value goes by the name "".
    refused: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    seconds: float = 0.0
    container: str = ""


def run_cell(cell: Cell, captured: Packed, **given: Any) -> CellOutput:
    """Run a cell with the names captured for it and further given ones."""
    from modalnb.runtime.shell import at_work

    started_at, started = time.time(), time.perf_counter()
    sys.path.extend(entry for entry in cell.path if entry not in sys.path)
    lines = cell.text.splitlines(keepends=True)
    linecache.cache[cell.filename] = (len(cell.text), None, lines, cell.filename)
    anchor, names = captured.value("names that the cell uses")
    namespace: dict[str, Any] = anchor.__globals__
    before = {**names, **given}
    namespace.update(before)

    def output(value: Any) -> CellOutput:
        seconds = time.perf_counter() - started
        return _output(cell, namespace, before, value, started_at, seconds)

    with at_work(namespace) as shell:
        try:
            value = _execute(cell, namespace)
            if cell.shows_value and value is not None and not _is_quiet(cell.source):
                _show(shell, value)
        except Exception as error:
            if cell.assigned:
                _attach(error, output)
            raise
    return output(value)


def _attach(error: Exception, output: Callable[[None], CellOutput]) -> None:
    """As in the notebook itself, what was assigned before an error is not lost."""
    # Nothing may hide the error itself, and there are exceptions that take no attributes.
    with contextlib.suppress(Exception):
        found = output(None)
        if found.packed.size <= MOST_BESIDE_AN_ERROR:
            setattr(error, OUTPUT, found)


def output_beside(error: BaseException) -> CellOutput | None:
    """Take from the exception of a cell what the cell had assigned before."""
    found = getattr(error, "__dict__", {}).pop(OUTPUT, None)
    return found if isinstance(found, CellOutput) else None


def _execute(cell: Cell, namespace: dict[str, Any]) -> Any:
    """Run all statements; the value of the last one if it is an expression."""
    tree = ast.parse(cell.source, cell.filename)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return _run(tree, "exec", cell, namespace)
    del tree.body[-1]
    _run(tree, "exec", cell, namespace)
    return _run(ast.Expression(last.value), "eval", cell, namespace)


def _run(tree: Any, mode: str, cell: Cell, namespace: dict[str, Any]) -> Any:
    flags = cell.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(tree, cell.filename, mode, flags, dont_inherit=True)
    value = eval(code, namespace)
    if code.co_flags & inspect.CO_COROUTINE:
        return asyncio.run(value)
    return value


def _is_quiet(source: str) -> bool:
    from IPython.core.displayhook import DisplayHook

    return bool(DisplayHook.semicolon_at_end_of_expression(source))


def _show(shell: Any, value: Any) -> None:
    data, metadata = shell.display_formatter.format(value)
    if data:
        shell.display_pub.publish(data, metadata)


# -- what goes back ----------------------------------------------------------------------------


def _output(
    cell: Cell,
    namespace: dict[str, Any],
    before: dict[str, Any],
    value: Any,
    started_at: float,
    seconds: float,
) -> CellOutput:
    found = dict(_assigned(cell, namespace, before))
    modules = {n: v.__name__ for n, v in found.items() if isinstance(v, types.ModuleType)}
    found = {name: v for name, v in found.items() if name not in modules}
    packed, refused = _pack(found, value if cell.wants_value else None, namespace)
    home = context.home()
    return CellOutput(
        packed=packed,
        modules=modules,
        refused=refused,
        started_at=started_at,
        seconds=seconds,
        container=str(home.worker.name) if home is not None else "",
    )


def _assigned(
    cell: Cell, namespace: dict[str, Any], before: dict[str, Any]
) -> Iterable[tuple[str, Any]]:
    """The names that have other values than before."""
    nothing = object()
    for name in cell.assigned:
        value = namespace.get(name, nothing)
        if value is not nothing and (
            name in cell.changed or value is not before.get(name, nothing)
        ):
            yield name, value


def _pack(
    found: dict[str, Any], value: Any, namespace: dict[str, Any]
) -> tuple[Packed, dict[str, str]]:
    """Pickle all together, so that what the values share stays shared; without what cannot be."""
    anchor = anchored(namespace)
    refused: dict[str, str] = {}
    try:
        return Packed.of((anchor, found, value)), refused
    except SerializationError:
        for name, part in [*found.items(), ("", value)]:
            try:
                Packed.of((anchor, part))
            except SerializationError:
                refused[name] = _reason(part, name or "value")
                found.pop(name, None)
    return Packed.of((anchor, found, None if "" in refused else value)), refused


def _reason(part: Any, name: str) -> str:
    try:
        Packed.of(part, name)
    except SerializationError as error:
        return str(error)
    return "it cannot be pickled"
