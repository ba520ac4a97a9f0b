"""The tunnel between the web gateway and containers: ASGI events as frames on a stream socket.

A container dials the gateway, so containers listen on nothing.  A frame is four bytes of length,
one byte of kind and the payload; there is no HTTP inside, hence nothing to smuggle.

=========  =====================  =============================================================
kind       from → to              payload
=========  =====================  =============================================================
TAKE       container → gateway    the secret of the lease that the container works on
OPEN       gateway → container    one request: its scope and the first of its body
START      container → gateway    status and headers of the response
DATA       both ways              a piece of a body, more follow
LAST       both ways              the last piece of a body
EVENT      both ways              any other ASGI event, as of WebSockets
GONE       gateway → container    the client has disconnected
DONE       container → gateway    the app has returned; how, if not well
RELEASE    gateway → container    the lease is over
=========  =====================  =============================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import msgpack

TAKE, OPEN, START, DATA, LAST, EVENT, GONE, DONE, RELEASE = range(1, 10)

#: Read ahead and written ahead at most, in each direction of each connection.
HIGH_WATER = 256 * 1024
#: The largest frame that is not the piece of a body: a WebSocket message and its frills.
MAX_FRAME = 4 * 2**20
#: The largest piece of a body in one frame; the length has four bytes.
MAX_PIECE = 2**30
#: So much is sent at once instead of being gathered; less than that in one piece, as copies of
#: little cost less than a list.
_ENOUGH, _LITTLE = 64 * 1024, 16 * 1024

_HEAD = struct.Struct(">IB")
_CLOSED = (GONE, b"")

#: Pieces of bodies are views of what was read, which the reader may not keep for long.
Buffer = bytes | memoryview
Frame = tuple[int, Buffer]

pack: Callable[[Any], bytes] = msgpack.Packer(autoreset=True).pack


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop for an end of the tunnel: a faster one than asyncio's, if one is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def allow_connections() -> None:
    """Let this process have as many connections as it may: the usual limit is far lower."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def unpack(payload: Buffer) -> Any:
    """Rebuild what :func:`pack` packed; sequences come back as tuples."""
    return msgpack.unpackb(payload, use_list=False)


class Gathered:
    """Writes what is written in one turn of the event loop at once, since each write costs much."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[Buffer] = []
        self._size = 0
        self._is_due = False

    def write(self, data: Buffer) -> None:
        """Have this sent soon, after all that was written before."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _ENOUGH:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush_due)

    def _flush_due(self) -> None:
        self._is_due = False
        self.flush()

    def flush(self) -> None:
        """Send what was gathered, unless the connection is lost."""
        if self._parts:
            parts, size = self._parts, self._size
            self._parts, self._size = [], 0
            if self._transport.is_closing():
                return
            if size < _LITTLE:
                self._transport.write(b"".join(parts))
            else:
                self._transport.writelines(parts)


class Channel(asyncio.Protocol):
    """One connection of the tunnel, with bounded memory: who reads slowly slows the writer."""

    def __init__(self, on_take: Callable[[Channel, bytes], None] | None = None) -> None:
        #: Called with the secret when the container takes up a lease on this connection.
        self.on_take = on_take
        #: Called when the client or the other end is gone, ahead of what is still to be read.
        self.on_gone: Callable[[], None] | None = None
        self.is_closed = False
        self._transport: asyncio.Transport
        self._frames: deque[Frame] = deque()
        self._queued = 0
        self._is_paused = False
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []
        self._is_full = False
        self._rest = b""
        #: The kind of the body frame whose payload still arrives, and how much of it is missing.
        self._body = (0, 0)

    # -- reading ---------------------------------------------------------------------------

    async def next(self) -> Frame:
        """The next frame; ``GONE`` for ever once the connection is lost."""
        while not self._frames:
            if self.is_closed:
                return _CLOSED
            await _turn(self._readers)
        frame = self._frames.popleft()
        self._queued -= len(frame[1])
        self._resume()
        return frame

    def _resume(self) -> None:
        if self._is_paused and self._queued < HIGH_WATER // 2:
            self._is_paused = False
            self._transport.resume_reading()

    def more_data(self, piece: Buffer) -> Buffer:
        """A piece of a body with all that have arrived after it: fewer and larger are cheaper."""
        frames = self._frames
        if not frames or frames[0][0] != DATA:
            return piece
        pieces = [piece]
        while frames and frames[0][0] == DATA:
            pieces.append(frames.popleft()[1])
            self._queued -= len(pieces[-1])
        self._resume()
        return b"".join(pieces)

    def put_first(self, kind: int, payload: bytes) -> None:
        """Let a reader of this end have a frame before all that have arrived."""
        self._frames.appendleft((kind, payload))
        self._queued += len(payload)

    def put(self, kind: int, payload: Buffer = b"") -> None:
        """Let a reader of this end have a frame, as if it had arrived."""
        self._frames.append((kind, payload))
        self._queued += len(payload)
        if self._queued > HIGH_WATER and not self._is_paused and not self.is_closed:
            self._is_paused = True
            self._transport.pause_reading()
        _wake(self._readers)

    def data_received(self, data: bytes) -> None:
        """Cut what has arrived into frames; pieces of bodies are passed on as they come."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        view = memoryview(data)
        while at < end:
            kind, missing = self._body
            if missing:
                piece = view[at : at + missing]
                at += len(piece)
                self._take_piece(kind, missing - len(piece), piece)
                continue
            if end - at < _HEAD.size:
                break
            length, kind = _HEAD.unpack_from(data, at)
            if kind in (DATA, LAST):
                at += _HEAD.size
                self._body = (kind, length)
                if not length:
                    self._take(kind, b"")
            elif length > MAX_FRAME:
                self.close()
                return
            elif end - at - _HEAD.size < length:
                break
            else:
                at += _HEAD.size + length
                self._take(kind, data[at - length : at])
        if at < end:
            self._rest = data[at:]

    def _take_piece(self, kind: int, missing: int, piece: memoryview) -> None:
        self._body = (kind, missing)
        self._take(DATA if missing else kind, piece)

    def _take(self, kind: int, payload: Buffer) -> None:
        if kind == TAKE:
            if self.on_take is None:
                self.close()
            else:
                self.on_take(self, bytes(payload))
            return
        if kind == GONE and self.on_gone is not None:
            self.on_gone()
        self.put(kind, payload)

    # -- writing ---------------------------------------------------------------------------

    def write(self, kind: int, payload: Buffer = b"") -> None:
        """Send a frame; without effect once the connection is lost."""
        if self.is_closed:
            return
        if len(payload) > MAX_PIECE:
            self.write(DATA, payload[:MAX_PIECE])
            self.write(kind, payload[MAX_PIECE:])
            return
        self._gathered.write(_HEAD.pack(len(payload), kind))
        if payload:
            self._gathered.write(payload)

    async def drain(self) -> None:
        """Wait until the other end has taken most of what was written."""
        while self._is_full:
            await _turn(self._writers)

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The transport has room again."""
        self._is_full = False
        _wake(self._writers)

    # -- the connection --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # Transports of uvloop are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)
        self._gathered = Gathered(self._transport)
        bare = transport.get_extra_info("socket")
        if bare is not None and bare.family == socket.AF_UNIX:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                bare.setsockopt(socket.SOL_SOCKET, option, HIGH_WATER)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone: whoever waits for anything on it goes on."""
        self.is_closed = True
        self.resume_writing()
        if self.on_gone is not None:
            self.on_gone()
        _wake(self._readers)

    def close(self) -> None:
        """End the connection."""
        self.is_closed = True
        self._gathered.flush()
        self._transport.close()


async def _turn(waiting: list[asyncio.Future[None]]) -> None:
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(turn)
    try:
        await turn
    except asyncio.CancelledError:
        if turn in waiting:
            waiting.remove(turn)
        raise


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    woken = waiting[:]
    waiting.clear()
    for turn in woken:
        if not turn.done():
            turn.set_result(None)
