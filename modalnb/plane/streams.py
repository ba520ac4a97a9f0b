"""Streamed outputs on their way: which container makes the elements of which input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.payload import envelope

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin

#: (lease, number of the element, payload)
Item = tuple[int, int, Any]


class Streams:
    """Passes elements on to callers, and back how many of them were taken."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane
        #: For each call and index the container and the lease that work on it.
        self._sources: dict[str, dict[int, tuple[str, int]]] = {}

    def pass_on(self, container_id: str, items: Sequence[Item]) -> None:
        """A container made elements; those of inputs that it does not hold are thrown away."""
        container = self._plane.ledger.containers.get(container_id)
        by_caller: dict[str, list[Any]] = {}
        for lease, number, payload in items:
            held = container.leases.get(lease) if container else None
            if held is None:
                envelope.discard(payload, self._plane.depot)
                continue
            self._sources.setdefault(held.call.id, {})[held.index] = (container_id, lease)
            element = (held.call.id, held.index, number, payload)
            by_caller.setdefault(held.call.caller, []).append(element)
        for caller, elements in by_caller.items():
            self._plane.reply(caller, kind="yields", elements=elements)

    def taken(self, call_id: str, index: int, taken: int) -> None:
        """A caller has taken so many elements of an input in all."""
        source = self._sources.get(call_id, {}).get(index)
        if source is not None:
            container_id, lease = source
            self._plane.send_to(container_id, {"op": m.TAKEN, "lease": lease, "taken": taken})

    def end(self, call_id: str) -> None:
        """The call is over."""
        self._sources.pop(call_id, None)
