"""A value that is pickled ahead of its journey: its size is known, and it is not pickled again."""

from __future__ import annotations

import pickle
import types
from typing import Any

from modalnb.payload import pickling


class Packed:
    """A pickled value that travels inside of another one, large buffers beside the pickle."""

    __slots__ = ("_frames",)

    def __init__(self, *frames: Any) -> None:
        self._frames = frames

    @classmethod
    def of(cls, value: Any, what: str = "value") -> Packed:
        """Pickle a value now.

        Raises
        ------
        SerializationError
            If some part of it cannot be pickled; the text names the part and the path to it.
        """
        return cls(*pickling.dumps(value, what))

    @property
    def size(self) -> int:
        """Bytes that the value takes on its way."""
        return sum(memoryview(frame).nbytes for frame in self._frames)

    def value(self, what: str = "value") -> Any:
        """Rebuild the value."""
        return pickling.loads([memoryview(frame) for frame in self._frames], what)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Packed, tuple(pickle.PickleBuffer(frame) for frame in self._frames)


def anchor() -> None:
    """Stands for a namespace: see :func:`anchored`."""


def anchored(namespace: dict[str, Any]) -> types.FunctionType:
    """A function with that namespace as its globals.

    Functions that are pickled together and share their globals share them again on arrival; one
    that is known to have them is how the other side gets hold of those globals.
    """
    return types.FunctionType(anchor.__code__, namespace, "anchor")
