"""A load generator that costs little itself: requests over kept connections, as bytes."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit


class _Client(asyncio.Protocol):
    """One connection that sends the next request when the response to the last one is here."""

    def __init__(self, request: bytes, until: float, seconds: list[float]) -> None:
        self._request = request
        self._until = until
        self._seconds = seconds
        self._missing = 0
        self._sent_at = 0.0
        self.is_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            self._missing = _length(data)
        self._missing -= len(data)
        if self._missing:
            return
        now = time.perf_counter()
        self._seconds.append(now - self._sent_at)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_done.done():
            self.is_done.set_result(None)


def _length(data: bytes) -> int:
    """The size of a whole response; its head comes in one piece."""
    head, _, _ = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError(head.decode(errors="replace"))
    name = b"content-length: "
    at = head.lower().index(name) + len(name)
    return len(head) + 4 + int(head[at:].split(b"\r\n", 1)[0])


def load(url: str, connections: int, seconds: float) -> tuple[float, list[float]]:
    """Requests a second, and how long each took."""
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()

    async def run() -> tuple[float, list[float]]:
        loop = asyncio.get_running_loop()
        taken: list[float] = []
        started = time.perf_counter()
        clients = []
        for _ in range(connections):
            _, client = await loop.create_connection(
                lambda: _Client(request, started + seconds, taken), parts.hostname, parts.port
            )
            clients.append(client.is_done)
        await asyncio.gather(*clients)
        return len(taken) / (time.perf_counter() - started), taken

    return _run(run())


def download(url: str, count: int = 1) -> tuple[int, float]:
    """The bytes of so many responses at once, and the seconds that they took."""
    parts = urlsplit(url)
    request = (
        f"GET {parts.path or '/'}?{parts.query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )

    class Reader(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.size = 0
            self.is_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._buffer = bytearray(2**18)

        def connection_made(self, transport: Any) -> None:
            transport.write(request.encode())

        def get_buffer(self, hint: int) -> bytearray:
            return self._buffer

        def buffer_updated(self, count: int) -> None:
            self.size += count

        def connection_lost(self, error: Exception | None) -> None:
            self.is_done.set_result(None)

    async def run() -> tuple[int, float]:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        readers = []
        for _ in range(count):
            _, reader = await loop.create_connection(Reader, parts.hostname, parts.port)
            readers.append(reader)
        for reader in readers:
            await reader.is_done
        return sum(reader.size for reader in readers), time.perf_counter() - started

    return _run(run())


def _run(work: Any) -> Any:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
