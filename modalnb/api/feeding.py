"""Reads the iterators of a map on a thread of their own, never further than there is room."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from typing import Any, Protocol

from modalnb.exception import InvalidError
from modalnb.payload import envelope
from modalnb.payload.shared_memory import Depot


class Taker(Protocol):
    """What a feeder feeds."""

    @property
    def depot(self) -> Depot | None:
        """Where large arguments go."""

    def wait_room(self) -> bool:
        """Block until one more input may be on the way; False if none is wanted any more."""

    def add(self, payload: Any) -> None:
        """Take one input."""

    def finish(self, error: BaseException | None) -> None:
        """There are no more inputs, or the iterator raised."""


def zipped(
    iterators: tuple[Any, ...], *, unpack: bool = False
) -> tuple[Iterable[tuple[Any, ...]] | AsyncIterator[tuple[Any, ...]], int | None]:
    """The argument tuples that the iterators make together, and how many, if that is known.

    Raises
    ------
    InvalidError
        If there is no iterator, or one of them cannot be iterated.
    """
    if not iterators:
        raise InvalidError("A map needs at least one iterator; got none.")
    for iterator in iterators:
        if not isinstance(iterator, Iterable | AsyncIterable):
            raise InvalidError(
                f"A map needs iterables; got {iterator!r}. For a single input use `.remote(...)`."
            )
    sizes = [len(i) if isinstance(i, Sized) else None for i in iterators]
    total = min(sizes) if None not in sizes else None  # type: ignore[type-var]
    if any(isinstance(i, AsyncIterable) for i in iterators):
        return _zip_async(iterators, unpack), total
    if unpack:
        return (tuple(item) for item in iterators[0]), total
    return zip(*iterators, strict=False), total


async def _zip_async(iterators: tuple[Any, ...], unpack: bool) -> AsyncIterator[tuple[Any, ...]]:
    nexts = [_next_of(iterator) for iterator in iterators]
    while True:
        try:
            items = [await step() for step in nexts]
        except (StopAsyncIteration, _Ended):
            return
        yield tuple(items[0]) if unpack else tuple(items)


class _Ended(Exception):
    pass


def _next_of(iterable: Any) -> Any:
    if isinstance(iterable, AsyncIterable):
        return iterable.__aiter__().__anext__
    iterator: Iterator[Any] = iter(iterable)

    async def step() -> Any:
        try:
            return next(iterator)
        except StopIteration:
            raise _Ended from None

    return step


class Feeder:
    """Moves arguments from the user's iterators to a map."""

    def __init__(
        self, arguments: Any, kwargs: dict[str, Any], taker: Taker, *, in_loop: bool = False
    ) -> None:
        self._arguments = arguments
        self._kwargs = kwargs
        self._taker = taker
        self._in_loop = in_loop

    def start(self) -> None:
        """Feed from a thread, or from a task if the results are awaited in the running loop.

        Whoever blocks for results stops the loop that it runs on, as cells of a notebook do.
        """
        if self._in_loop and isinstance(self._arguments, AsyncIterable):
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._feed_async(in_loop=True))
            return
        work = contextvars.copy_context().run
        threading.Thread(target=work, args=(self.feed,), name="modalnb-feeder", daemon=True).start()

    def feed(self) -> None:
        """Feed until the iterator ends or nothing more is wanted."""
        if isinstance(self._arguments, AsyncIterable):
            asyncio.run(self._feed_async(in_loop=False))
            return
        try:
            iterator = iter(self._arguments)
            while self._taker.wait_room():
                try:
                    args = next(iterator)
                except StopIteration:
                    break
                self._taker.add(self._pack(args))
        except BaseException as error:
            self._taker.finish(error)
        else:
            self._taker.finish(None)

    async def _feed_async(self, *, in_loop: bool) -> None:
        try:
            async for args in self._arguments:
                self._taker.add(self._pack(args))
                has_room = (
                    await asyncio.to_thread(self._taker.wait_room)
                    if in_loop
                    else self._taker.wait_room()
                )
                if not has_room:
                    break
        except BaseException as error:
            self._taker.finish(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._taker.finish(None)

    def _pack(self, args: tuple[Any, ...]) -> Any:
        return envelope.pack((args, self._kwargs), self._taker.depot, "arguments")
