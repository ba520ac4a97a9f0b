"""The tunnel: frames arrive whole and in order, whatever the socket makes of them."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb import tunnel
from modalnb.tunnel import Channel, Frame

BODIES = (tunnel.DATA, tunnel.LAST)
WHOLE = (tunnel.OPEN, tunnel.START, tunnel.EVENT, tunnel.DONE, tunnel.RELEASE)


async def _pair() -> tuple[Channel, Channel]:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    _, one = await loop.create_connection(Channel, sock=near)
    _, other = await loop.create_connection(Channel, sock=far)
    return one, other


async def _collect(channel: Channel, count: int) -> list[Frame]:
    """So many frames; pieces of one body frame are put together again."""
    frames: list[Frame] = []
    body = b""
    while len(frames) < count:
        kind, payload = await channel.next()
        if kind == tunnel.DATA:
            body += payload
        elif kind == tunnel.LAST:
            frames.append((kind, body + bytes(payload)))
            body = b""
        else:
            frames.append((kind, bytes(payload)))
    return frames


FRAMES = st.lists(
    st.tuples(st.sampled_from((*WHOLE, tunnel.LAST)), st.binary(max_size=200)), max_size=30
)


@given(frames=FRAMES, cuts=st.lists(st.integers(1, 50), min_size=1, max_size=50))
def test_frames_survive_any_cutting(frames: list[Frame], cuts: list[int]) -> None:
    data = b"".join(struct.pack(">IB", len(p), kind) + p for kind, p in frames)

    async def receive() -> list[Frame]:
        channel = Channel()
        at, n = 0, 0
        while at < len(data):
            step = cuts[n % len(cuts)]
            channel.data_received(data[at : at + step])
            at, n = at + step, n + 1
        return await _collect(channel, len(frames))

    assert asyncio.run(receive()) == frames


@given(st.binary(max_size=300))
def test_garbage_never_raises(data: bytes) -> None:
    async def receive() -> None:
        one, other = await _pair()
        one.data_received(data)
        for channel in (one, other):
            channel.close()

    asyncio.run(receive())


def test_writer_waits_for_a_reader_that_is_slow() -> None:
    async def run() -> tuple[int, int]:
        one, other = await _pair()
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(200):
                one.write(tunnel.DATA, b"x" * 65536)
                written += 65536
                await one.drain()
            one.write(tunnel.LAST)

        writer = asyncio.ensure_future(write())
        await asyncio.wait([writer], timeout=0.3)
        ahead = written
        size = 0
        while (frame := await other.next())[0] != tunnel.LAST:
            size += len(frame[1])
        await writer
        one.close()
        other.close()
        return ahead, size

    ahead, size = asyncio.run(run())
    assert size == 200 * 65536
    assert ahead < 4 * 2**20


def test_reader_of_a_lost_connection_goes_on() -> None:
    async def run() -> list[Frame]:
        one, other = await _pair()
        called: list[str] = []
        other.on_gone = lambda: called.append("gone")
        waiting = [asyncio.ensure_future(other.next()) for _ in range(2)]
        await asyncio.sleep(0)
        one.close()
        frames = [await frame for frame in waiting]
        assert called == ["gone"]
        assert other.is_closed
        other.write(tunnel.START, b"into the void")
        await other.drain()
        return frames

    assert asyncio.run(run()) == [(tunnel.GONE, b"")] * 2


def test_two_readers_share_frames() -> None:
    async def run() -> set[Frame]:
        one, other = await _pair()
        readers = [asyncio.ensure_future(other.next()) for _ in range(3)]
        await asyncio.sleep(0)
        readers.pop().cancel()
        one.write(tunnel.EVENT, b"a")
        one.write(tunnel.EVENT, b"b")
        frames = {await reader for reader in readers}
        one.close()
        other.close()
        return frames

    assert asyncio.run(run()) == {(tunnel.EVENT, b"a"), (tunnel.EVENT, b"b")}


@pytest.mark.parametrize("kind", [tunnel.OPEN, tunnel.EVENT])
def test_frame_of_absurd_length_ends_the_connection(kind: int) -> None:
    async def run() -> bool:
        one, other = await _pair()
        one.data_received(struct.pack(">IB", tunnel.MAX_FRAME + 1, kind))
        other.close()
        return one.is_closed

    assert asyncio.run(run())


def test_secret_on_a_channel_that_takes_none_ends_it() -> None:
    async def run() -> bool:
        one, other = await _pair()
        one.data_received(struct.pack(">IB", 2, tunnel.TAKE) + b"ab")
        other.close()
        return one.is_closed

    assert asyncio.run(run())


def test_packed_values_come_back_with_tuples() -> None:
    value = {"headers": [(b"a", b"\xff")], "n": 1, "text": "ü", "none": None}
    assert tunnel.unpack(tunnel.pack(value)) == {**value, "headers": ((b"a", b"\xff"),)}
