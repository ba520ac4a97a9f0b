"""Given counts and limits, says how many inputs may enter, and otherwise which limit is reached."""

from __future__ import annotations

from dataclasses import dataclass

from modalnb.core.events import CallKind
from modalnb.settings import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`admitted` inputs may enter; `limit` is the one that would stop the next, or did."""

    admitted: int
    limit: str
    current: int
    maximum: int


def admit(
    asked: int, *, kind: CallKind, waiting: int, waiting_durable: int, leased: int, limits: Limits
) -> Admission:
    """Admit as many of `asked` inputs as the limits allow.

    Parameters
    ----------
    asked : int
        Inputs that want to enter.
    kind : {"live", "durable"}
        Live inputs count against the pending and total limits, durable ones against their own.
    waiting, waiting_durable, leased : int
        Live inputs without a container, durable ones without a container, live ones with one.
    """
    if kind == "durable":
        limit, current, maximum = "pending spawned inputs", waiting_durable, limits.pending_spawns
    elif limits.pending - waiting <= limits.total - waiting - leased:
        limit, current, maximum = "pending inputs", waiting, limits.pending
    else:
        limit, current, maximum = "inputs in total", waiting + leased, limits.total
    admitted = max(0, min(asked, maximum - current))
    return Admission(admitted=admitted, limit=limit, current=current + admitted, maximum=maximum)
