"""Takes the names that a cell uses from the notebook, or says why one of them cannot travel."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modalnb.exception import InvalidError, SerializationError
from modalnb.payload import code
from modalnb.payload.packed import Packed, anchored
from modalnb.payload.pickling import pickle_by_value

MEGABYTE = 1_000_000
#: What a cell may take along unless an option says otherwise.
DEFAULT_LIMIT = 10 * MEGABYTE


@dataclass(frozen=True, slots=True)
class Item:
    """One name that a cell uses; `problem` says why its value cannot travel."""

    name: str
    kind: str
    size: int
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The same facts as plain values."""
        return {"name": self.name, "kind": self.kind, "bytes": self.size, "problem": self.problem}


def choose(
    used: Iterable[str], namespace: Mapping[str, Any], hidden: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of the used names that the notebook has, without what IPython put there."""
    nothing = object()
    return {
        name: namespace[name]
        for name in sorted(used)
        if name in namespace and hidden.get(name, nothing) is not namespace[name]
    }


def measure(values: Mapping[str, Any]) -> list[Item]:
    """Each value with its size; what cannot be pickled with the path to the part that cannot."""
    return [_item(name, value) for name, value in values.items()]


def _item(name: str, value: Any) -> Item:
    if isinstance(value, types.ModuleType):
        return Item(name, "module", 0)
    kind = type(value).__qualname__
    _send_own_code(value)
    try:
        return Item(name, kind, Packed.of(value, name).size)
    except SerializationError as error:
        return Item(name, kind, 0, str(error))


def _send_own_code(value: Any) -> None:
    """Send functions and classes of modules beside the notebook as they are now."""
    if isinstance(value, types.FunctionType | type):
        module = inspect.getmodule(value)
        if module is not None and not code.is_installed(module):
            pickle_by_value(module)


def pack(values: Mapping[str, Any], namespace: dict[str, Any], limit: int) -> Packed:
    """Pickle the values together, for a container.

    Raises
    ------
    SerializationError
        If one of them cannot be pickled; the text names it and the path to the part that cannot.
    InvalidError
        If they are more than `limit` bytes together; the text names the largest.
    """
    items = measure(values)
    problems = [f"The cell uses `{i.name}`, but {i.problem}" for i in items if i.problem]
    if problems:
        raise SerializationError("\n".join(problems))
    with code.handles_met() as handles:
        packed = Packed.of((anchored(namespace), dict(values)), "names that the cell uses")
    # Values that are part of others were measured with each of them; this counts them once.
    if packed.size > limit:
        raise InvalidError(too_big(items, packed.size, limit))
    for handle in handles:
        # What the cell calls must be known before it runs.
        handle.hydrate()
    return packed


def too_big(items: Iterable[Item], total: int, limit: int) -> str:
    """What to say when a cell would take too much along."""
    largest = sorted(items, key=lambda item: -item.size)[:3]
    names = ", ".join(f"`{item.name}` {size_words(item.size)}" for item in largest)
    return (
        f"The cell uses {size_words(total)} of the notebook's data, of at most "
        f"{size_words(limit)}: {names}. Load them in the cell itself, or allow them with "
        f"`--capture-limit {-(-total // MEGABYTE)}`."
    )


def size_words(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
