"""Who called whom: the calls that inputs made, for as long as there is room to remember them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from modalnb.messages import names_of_pool

#: Calls, inputs of each, and inputs in all that are remembered.
MAX_CALLS = 10_000
MAX_INPUTS = 1_000
MAX_TOTAL = 100_000

Parent = tuple[str, int]


@dataclass(slots=True)
class CallNode:
    """One call: its function, its inputs by index, and the calls that each of them made."""

    pool_id: str
    module: str
    #: Status and container of each input that has begun.
    inputs: dict[int, tuple[str, str]] = field(default_factory=dict)
    children: dict[int, list[str]] = field(default_factory=dict)


class CallGraph:
    """The latest calls, oldest first."""

    def __init__(self) -> None:
        self.calls: OrderedDict[str, CallNode] = OrderedDict()
        self._inputs = 0

    def open(self, call_id: str, pool_id: str, module: str, parent: Parent | None) -> None:
        """A call begins."""
        if call_id in self.calls:
            return
        self.calls[call_id] = CallNode(pool_id, module)
        if parent is not None and (node := self.calls.get(parent[0])):
            node.children.setdefault(parent[1], []).append(call_id)
        while len(self.calls) > MAX_CALLS or self._inputs > MAX_TOTAL:
            _, oldest = self.calls.popitem(last=False)
            self._inputs -= len(oldest.inputs)

    def begin(self, container_id: str, inputs: Iterable[tuple[Any, ...]]) -> None:
        """A container was given (lease, call id, index, …) tuples."""
        for item in inputs:
            if item[2] < MAX_INPUTS:
                self._note(item[1], item[2], "pending", container_id)

    def finish(self, outputs: Iterable[tuple[str, int, str, Any]]) -> None:
        """Inputs have their outcomes."""
        for call_id, index, status, _ in outputs:
            if index < MAX_INPUTS:
                self._note(call_id, index, status, None)

    def _note(self, call_id: str, index: int, status: str, container_id: str | None) -> None:
        node = self.calls.get(call_id)
        if node is None:
            return
        known = node.inputs.get(index)
        if known is None:
            self._inputs += 1
        elif container_id is None:
            container_id = known[1]
        node.inputs[index] = (status, container_id or "")

    def describe(self, call_id: str, count: int) -> list[dict[str, Any]] | None:
        """The first `count` inputs of a call with all that they led to; None: not remembered."""
        node = self.calls.get(call_id)
        if node is None:
            return None
        known = range(min(max(count, len(node.inputs)), MAX_INPUTS))
        return [self._input(call_id, node, index) for index in known]

    def _input(self, call_id: str, node: CallNode, index: int) -> dict[str, Any]:
        status, container_id = node.inputs.get(index, ("pending", ""))
        children: list[dict[str, Any]] = []
        for child in node.children.get(index, ()):
            below = self.calls.get(child)
            if below is not None:
                children += self.describe(child, len(below.inputs) or 1) or ()
        return {
            "call_id": call_id,
            "index": index,
            "status": status,
            "container_id": container_id,
            "function": names_of_pool(node.pool_id)[1],
            "module": node.module,
            "children": children,
        }
