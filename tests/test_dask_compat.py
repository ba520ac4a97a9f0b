"""What is done to Dask's private parts: streams that write at once lose and reorder nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from distributed.batched import BatchedSend
from distributed.comm import CommClosedError, connect, listen
from distributed.protocol import to_serialize

from modalnb._dask_compat import PromptSend, send_at_once

Work = Callable[[BatchedSend, "asyncio.Queue[Any]"], Awaitable[None]]


def _run(work: Work, address: str = "tcp://127.0.0.1:0") -> None:
    """Run `work` with a stream that sends at once, and with what arrives at its other end."""

    async def run() -> None:
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        async def take(comm: Any) -> None:
            try:
                while True:
                    arrived.put_nowait(await comm.read())
            except CommClosedError:
                arrived.put_nowait(None)

        listener = await listen(address, take)
        stream = BatchedSend(interval="10ms")
        stream.start(await connect(listener.contact_address))
        send_at_once(stream)
        try:
            await work(stream, arrived)
        finally:
            await stream.close()
            listener.stop()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_messages_of_one_turn_go_out_together() -> None:
    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        assert type(stream) is PromptSend
        stream.send({"op": "a"}, {"op": "b"})
        stream.send({"op": "c"})
        assert await arrived.get() == ({"op": "a"}, {"op": "b"}, {"op": "c"})
        assert (stream.message_count, stream.batch_count) == (3, 1)
        assert stream.byte_count > 0

    _run(work)


def test_order_is_kept_over_many_turns() -> None:
    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        for n in range(500):
            stream.send({"n": n})
            if n % 3 == 0:
                await asyncio.sleep(0)
        seen: list[int] = []
        while len(seen) < 500:
            seen += [message["n"] for message in await arrived.get()]
        assert seen == list(range(500))

    _run(work)


def test_large_message_arrives_whole_between_small_ones() -> None:
    """Dask would have a message of this size pickled on a thread."""

    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        body = bytes(range(256)) * 2**17
        stream.send({"n": 1})
        await asyncio.sleep(0)
        stream.send({"n": 2, "body": to_serialize(body)}, {"text": "x" * 2**24})
        await asyncio.sleep(0)
        stream.send({"n": 3})
        got: list[Any] = []
        while len(got) < 4:
            got += await arrived.get()
        assert [message.get("n") for message in got] == [1, 2, None, 3]
        assert got[1]["body"] == body
        assert len(got[2]["text"]) == 2**24

    _run(work)


def test_closing_sends_what_was_to_come() -> None:
    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        stream.send({"n": 1})
        await stream.close()
        assert await arrived.get() == ({"n": 1},)
        assert await arrived.get() is None
        with pytest.raises(CommClosedError):
            stream.send({"n": 2})

    _run(work)


def test_message_that_cannot_be_written_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing may follow it, since it is unknown what was written."""

    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        with caplog.at_level(logging.ERROR, logger="modalnb._dask_compat"):
            stream.send({"n": 1, "lock": object.__reduce__})
            stream.send({"n": 2, "loop": to_serialize(asyncio.get_running_loop())})
            assert await arrived.get() is None
        with pytest.raises(CommClosedError):
            stream.send({"n": 3})

    _run(work)
    assert "Error in write" in caplog.text


def test_other_end_that_goes_is_noticed() -> None:
    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        stream.comm.abort()
        with pytest.raises(CommClosedError):
            stream.send({"n": 1})

    _run(work)


def test_stream_of_another_kind_is_only_told_not_to_wait() -> None:
    async def work(stream: BatchedSend, arrived: asyncio.Queue[Any]) -> None:
        assert type(stream) is BatchedSend
        assert stream.interval == 0.0
        stream.send({"n": 1})
        assert list(await arrived.get()) == [{"n": 1}]

    _run(work, "inproc://")
