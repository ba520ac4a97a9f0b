"""What ``FunctionCall.get_call_graph`` gives: inputs, and the calls that they made."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class InputStatus(enum.IntEnum):
    """How an input stands; the numbers are Modal's."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2
    TERMINATED = 3
    TIMEOUT = 4
    INIT_FAILURE = 5


_STATUS = {
    "ok": InputStatus.SUCCESS,
    "error": InputStatus.FAILURE,
    "lost": InputStatus.FAILURE,
    "stalled": InputStatus.FAILURE,
    "cancelled": InputStatus.TERMINATED,
    "timeout": InputStatus.TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputInfo:
    """One input of a call, with the inputs of the calls that it made.

    Attributes
    ----------
    input_id, function_call_id, task_id : str
        Ids of the input, of its call and of its container; the last one is empty while it waits.
    status : InputStatus
        How it stands.
    function_name, module_name : str
        What runs.
    children : list of InputInfo
        In the order in which they were called.
    """

    input_id: str
    function_call_id: str
    task_id: str
    status: InputStatus
    function_name: str
    module_name: str
    children: list[InputInfo]


def infos_of(facts: Iterable[Mapping[str, Any]]) -> list[InputInfo]:
    """The inputs that the plane described."""
    return [
        InputInfo(
            input_id=input_id_of(one["call_id"], one["index"]),
            function_call_id=one["call_id"],
            task_id=one["container_id"],
            status=_STATUS.get(one["status"], InputStatus.PENDING),
            function_name=one["function"],
            module_name=one["module"],
            children=infos_of(one["children"]),
        )
        for one in facts
    ]


def input_id_of(call_id: str, index: int) -> str:
    """The id of an input, as ``current_input_id`` gives it."""
    return f"in-{call_id.removeprefix('fc-')}-{index}"
