"""Streams what generators yield to their callers, never further ahead than a bounded window."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from modalnb.exception import InputCancellation
from modalnb.payload import envelope
from modalnb.payload.shared_memory import Depot

#: Elements, and bytes of large ones, that may be on the way and not taken.
WINDOW = 64
WINDOW_BYTES = 16 * 2**20

#: Sends (lease, number, payload); may be called from any thread.
Send = Callable[[tuple[int, int, Any]], None]


class Producer:
    """The elements of one input; :meth:`put` blocks while the caller has enough of them."""

    def __init__(self, lease: int, send: Send, depot: Depot | None) -> None:
        self._lease = lease
        self._send = send
        self._depot = depot
        self._made = 0
        self._taken = 0
        #: Bytes of the elements that are on the way, oldest first.
        self._sizes: list[int] = []
        self._is_cancelled = False
        self._changed = threading.Condition()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def put(self, element: Any) -> None:
        """Send one element, after waiting for room; raises if nobody wants any more."""
        payload = envelope.pack(element, self._depot, "yielded element")
        with self._changed:
            self._changed.wait_for(lambda: self._is_cancelled or self._has_room())
        if self._is_cancelled:
            envelope.discard(payload, self._depot)
            raise InputCancellation
        self._post(payload)

    def cancel(self) -> None:
        """Nobody wants further elements of what runs on a thread."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    async def put_async(self, element: Any) -> None:
        """The same without blocking the running loop."""
        payload = envelope.pack(element, self._depot, "yielded element")
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._has_room():
                    break
                future = loop.create_future()
                self._waiter = (loop, future)
            await future
        self._post(payload)

    def _has_room(self) -> bool:
        on_way = self._made - self._taken
        return on_way <= 0 or (on_way < WINDOW and sum(self._sizes) < WINDOW_BYTES)

    def _post(self, payload: Any) -> None:
        with self._changed:
            self._sizes.append(envelope.size_of(payload))
            number = self._made
            self._made += 1
            self._forget_taken()
        self._send((self._lease, number, payload))

    def on_taken(self, taken: int) -> None:
        """The caller has taken so many elements in all."""
        with self._changed:
            self._taken = max(self._taken, taken)
            self._forget_taken()
            self._changed.notify_all()
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            loop, future = waiter
            loop.call_soon_threadsafe(_resolve, future)

    def _forget_taken(self) -> None:
        on_way = max(0, self._made - self._taken)
        del self._sizes[: len(self._sizes) - on_way]


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
