"""One table of a work: a line per peer, a ratio, and the budgets with whether they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Sense = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Row:
    """A value, or why there is none, and what else there is to say of it."""

    name: str
    value: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A budget: `factor` times the value of a peer, or `factor` itself."""

    word: Literal["must", "aim"]
    factor: float
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The result of one work; goals are those of the row `ours`."""

    title: str
    unit: str
    sense: Sense
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()
    ours: str = "modalnb"
    remarks: Sequence[str] = field(default=())

    def value(self, name: str) -> float | None:
        """The value in the row of that name."""
        return next((row.value for row in self.rows if row.name == name), None)

    def judged(self) -> list[tuple[Goal, float, bool]]:
        """Each goal that can be judged, with its limit and whether it holds."""
        ours, judged = self.value(self.ours), []
        for goal in self.goals:
            base = 1.0 if goal.peer is None else self.value(goal.peer)
            if ours is None or base is None:
                continue
            limit = goal.factor * base
            judged.append((goal, limit, ours <= limit if self.sense == "lower" else ours >= limit))
        return judged

    def to_dict(self) -> dict[str, Any]:
        """The table for JSON."""
        return {
            "title": self.title,
            "unit": self.unit,
            "rows": {row.name: row.value for row in self.rows},
            "goals": [
                {"word": g.word, "factor": g.factor, "peer": g.peer, "limit": limit, "holds": holds}
                for g, limit, holds in self.judged()
            ],
        }

    def __str__(self) -> str:
        lines = ["", f"{self.title}  [{self.unit}, {self.sense} is better]"]
        ours = self.value(self.ours)
        width = max(len(row.name) for row in self.rows)
        for row in self.rows:
            ratio = f"{row.value / ours:8.2f} ×" if ours and row.value is not None else " " * 10
            lines.append(f"  {row.name:<{width}} {_number(row.value):>10} {ratio}  {row.note}")
        lines += [f"  {_verdict(self, *judged)}" for judged in self.judged()]
        lines += [f"  {remark}" for remark in self.remarks]
        return "\n".join(line.rstrip() for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _verdict(table: Table, goal: Goal, limit: float, holds: bool) -> str:
    sign = "≤" if table.sense == "lower" else "≥"
    if goal.peer is None:
        return f"{goal.word} {sign} {goal.factor:g}: {'holds' if holds else 'MISSED'}"
    ratio = (table.value(table.ours) or 0.0) / (limit / goal.factor)
    return (
        f"{goal.word} {sign} {goal.factor:g} × {goal.peer}: "
        f"{ratio:.2f} × {'holds' if holds else 'MISSED'}"
    )
