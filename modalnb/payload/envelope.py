"""Puts frames into the form in which they travel: inline when small, by shared memory when not."""

from __future__ import annotations

import pickle
from typing import Any

from modalnb.payload import pickling
from modalnb.payload.shared_memory import Depot

#: Payloads of at least this many bytes do not pass through the scheduler on one host.
LARGE_BYTES = 64 * 1024


def pack(value: Any, depot: Depot | None, what: str = "value") -> Any:
    """Pickle `value` into a payload: bytes, a list of frames, or a ticket for the depot."""
    frames = pickling.dumps(value, what)
    if len(frames) == 1 and len(frames[0]) < LARGE_BYTES:  # type: ignore[arg-type]
        return frames[0]
    if sum(_size(frame) for frame in frames) < LARGE_BYTES:
        return [bytes(frame) for frame in frames]
    if depot is not None:
        ticket = depot.put(frames)
        if ticket is not None:
            return ticket
    return _opaque(frames)


def unpack(payload: Any, depot: Depot | None, what: str = "value", *, keep: bool = True) -> Any:
    """Rebuild the value; ``keep=False`` throws a ticket's memory away after the last use."""
    if isinstance(payload, dict):
        if depot is None:
            raise AssertionError("a ticket can only reach a process that has the depot")
        return pickling.loads(depot.get(payload, keep=keep), what)
    if isinstance(payload, bytes):
        return pickling.loads(payload, what)
    return pickling.loads([_raw(frame) for frame in payload], what)


def discard(payload: Any, depot: Depot | None) -> None:
    """Give back what a payload holds outside of itself."""
    if isinstance(payload, dict) and depot is not None:
        depot.drop(payload)


def size_of(payload: Any) -> int:
    """Bytes that a payload takes, wherever it holds them."""
    if isinstance(payload, dict):
        return sum(payload["sizes"])
    frames = [payload] if isinstance(payload, bytes) else payload
    return sum(len(_raw(frame)) for frame in frames)


def _size(frame: pickling.Frame) -> int:
    return frame.raw().nbytes if isinstance(frame, pickle.PickleBuffer) else len(frame)


def _raw(frame: Any) -> Any:
    return getattr(frame, "data", frame) if not isinstance(frame, bytes | memoryview) else frame


def _opaque(frames: pickling.Frames) -> list[Any]:
    """Frames that Dask passes on without copying them through msgpack."""
    from distributed.protocol import to_serialize

    return [
        to_serialize(frame.raw() if isinstance(frame, pickle.PickleBuffer) else memoryview(frame))
        for frame in frames
    ]
