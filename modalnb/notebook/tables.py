"""Tables that read as text in a terminal and as HTML in a notebook, with their facts as dicts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from modalnb.api import display


class Table:
    """Rows of facts; iterate over it, or call :meth:`to_dict`, for the facts themselves."""

    def __init__(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        facts: Sequence[dict[str, Any]],
        *,
        title: str = "",
        note: str = "",
    ) -> None:
        self._head = head
        self._rows = rows
        self._facts = facts
        self._title = title
        self._note = note

    def to_dict(self) -> list[dict[str, Any]]:
        """The facts of all rows as plain values."""
        return [dict(facts) for facts in self._facts]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self._facts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(self._facts[index])

    def __repr__(self) -> str:
        lines = [self._title] if self._title else []
        if self._rows:
            lines += _aligned([self._head, *self._rows])
        return "\n".join([*lines, *([self._note] if self._note else [])])

    def _repr_html_(self) -> str:
        parts = []
        if self._rows:
            rows = [tuple(row) for row in (self._head, *self._rows)]
            parts.append(display.table(rows, self._title))
        elif self._title:
            parts.append(f"<div><b>{html.escape(self._title)}</b></div>")
        if self._note:
            parts.append(f"<div>{html.escape(self._note)}</div>")
        return "".join(parts)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
