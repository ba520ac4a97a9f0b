"""Sends cells to containers: one app for a notebook, one pool of containers for each name."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modalnb.api.app import App
from modalnb.api.decorators import concurrent
from modalnb.api.function import Function
from modalnb.api.mapping import MapResults
from modalnb.api.viewing import View
from modalnb.exception import InvalidError
from modalnb.notebook import capture
from modalnb.notebook.names import Names, analyse
from modalnb.payload.packed import Packed
from modalnb.runtime.cell import Cell, run_cell

APP = "notebook"
DEFAULT_POOL = "remote"
#: Nobody expects a cell to be stopped after five minutes, as inputs of functions are.
TIMEOUT = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A cell that has been read: its code, its names, and the values that it would take along."""

    cell: Cell
    names: Names
    values: Mapping[str, Any] = field(default_factory=dict)

    def cell_for(self, *, wants_value: bool, shows_value: bool, keeps_names: bool) -> Cell:
        """The cell with what is wanted of it."""
        names = () if not keeps_names else self.cell.assigned
        return replace(self.cell, wants_value=wants_value, shows_value=shows_value, assigned=names)


def read(shell: Any, text: str, body: str, *, given: Iterable[str] = ()) -> Draft:
    """Read a cell; `text` is all of it as the notebook shows it, `body` the code in it.

    Raises
    ------
    SyntaxError
        If it is not Python, at its line of the cell.
    """
    filename = shell.compile.cache(text, shell.execution_count, raw_code=text)
    source = in_place(text, body, shell.transform_cell(body))
    flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(source, filename, "exec", flags, dont_inherit=True)
    names = analyse(ast.parse(source, filename))
    cell = Cell(
        source=source,
        filename=filename,
        text=text,
        assigned=tuple(sorted(names.assigned)),
        changed=tuple(sorted(names.changed)),
        flags=shell.compile.flags,
        path=tuple(sys.path),
    )
    values = capture.choose(names.used - set(given), shell.user_ns, shell.user_ns_hidden)
    return Draft(cell, names, values)


def in_place(text: str, body: str, source: str) -> str:
    """The source with its first line where it stands in the cell."""
    before = text[: text.rindex(body)] if body else text
    blank = len(body) - len(body.lstrip("\n")) if body.strip() else 0
    return "\n" * (before.count("\n") + blank) + source


class Pools:
    """The pools that cells run in, by name; a name keeps its containers, whatever code they run."""

    def __init__(self) -> None:
        self.app = App(APP)
        self._options: dict[str, dict[str, Any]] = {}
        #: With which options and for which code the function of each name was made.
        self._made: dict[str, tuple[dict[str, Any], Any]] = {}

    @property
    def names(self) -> list[str]:
        """The names in use."""
        return list(self._options)

    def run(
        self, name: str, options: Mapping[str, Any], cell: Cell, packed: Packed, view: View
    ) -> MapResults:
        """Run a cell once; nothing is sent before its result is asked for."""
        function = self._function(name, options, run_cell)
        return function.starmap([(cell, packed)], progress=view)  # type: ignore[no-any-return]

    def map(
        self,
        name: str,
        options: Mapping[str, Any],
        cell: Cell,
        packed: Packed,
        view: View,
        variable: str,
        elements: Iterable[Any],
    ) -> MapResults:
        """Run a cell once for each element, which it knows by the name of `variable`."""

        def run_element(element: Any) -> Any:
            return run_cell(cell, packed, **{variable: element})

        if packed.size > 16 * 2**20 - 2**16:
            raise InvalidError(
                "With `--map`, a cell can take 16 MiB of the notebook's data along. Load larger "
                "data in the cell itself."
            )
        # That large code had better be arguments is for people who write functions.
        warnings.filterwarnings("ignore", f"Function `{re.escape(name)}` takes more than")
        function = self._function(name, options, run_element)
        return function.map(elements, progress=view)  # type: ignore[no-any-return]

    def function(self, name: str) -> Function | None:
        """The function behind the pool of that name."""
        return self.app.registered_functions.get(name)

    def _function(self, name: str, options: Mapping[str, Any], run: Any) -> Function:
        """The function of a pool, made anew when its options or what it runs are others."""
        merged = {"timeout": TIMEOUT, **self._options.get(name, {}), **options}
        made = (merged, run)
        known = self.function(name)
        if known is None or self._made.get(name) != made:
            self._options[name], self._made[name] = merged, made
            others = {key: value for key, value in merged.items() if key != "max_inputs"}
            known = self.app.function(name=name, **others)(_concurrent(run, merged))
        return known


def _concurrent(run: Any, options: Mapping[str, Any]) -> Any:
    """What a pool runs; with `max_inputs` a function of its own, since it is marked with them."""
    if "max_inputs" not in options:
        return run

    def run_concurrently(*args: Any, **kwargs: Any) -> Any:
        return run(*args, **kwargs)

    return concurrent(max_inputs=options["max_inputs"])(run_concurrently)
