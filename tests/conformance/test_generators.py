"""Generator functions: elements travel one by one, never far ahead of who takes them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal as signals
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import modalnb
from modalnb.exception import FunctionTimeoutError, InvalidError
from modalnb.runtime.streaming import WINDOW


@pytest.fixture
def count(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=1)
    def count(stop: int) -> Iterator[int]:
        yield from range(stop)

    return count


def make_endless(app: modalnb.App, notes: Any, ended: Any) -> modalnb.Function:
    """Notes what it makes, and says when it was stopped."""

    @app.function(max_containers=1, name="endless")
    def endless() -> Iterator[int]:
        n = 0
        try:
            while True:
                notes.add(n)
                yield n
                n += 1
        finally:
            ended.set()

    return endless


def make_endless_async(app: modalnb.App, notes: Any, ended: Any) -> modalnb.Function:
    @app.function(max_containers=1, name="endless")
    async def endless() -> AsyncIterator[int]:
        n = 0
        try:
            while True:
                notes.add(n)
                yield n
                n += 1
        finally:
            ended.set()

    return endless


ENDLESS = pytest.mark.parametrize("make", [make_endless, make_endless_async])


def settled_count(notes: Any) -> int:
    """How many notes there are when no more come."""
    pause = threading.Event()
    before = -1
    while (now := len(notes.lines)) != before:
        before = now
        pause.wait(0.2)
    return now


# -- taking elements -----------------------------------------------------------------------


def test_remote_gen_gives_all_elements_in_order(count: modalnb.Function) -> None:
    assert list(count.remote_gen(10 * WINDOW)) == list(range(10 * WINDOW))
    assert list(count.remote_gen(0)) == []


def test_remote_gen_of_an_async_generator(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    async def count(stop: int) -> AsyncIterator[int]:
        for n in range(stop):
            await asyncio.sleep(0)
            yield n

    assert list(count.remote_gen(3 * WINDOW)) == list(range(3 * WINDOW))


def test_remote_gen_aio_is_for_async_for(count: modalnb.Function) -> None:
    async def main() -> tuple[list[int], list[int]]:
        return (
            [n async for n in count.remote_gen.aio(3 * WINDOW)],
            [n async for n in count.remote_gen.aio(2)],
        )

    assert asyncio.run(main()) == (list(range(3 * WINDOW)), [0, 1])


def test_remote_gen_in_a_coroutine_names_the_twin(count: modalnb.Function) -> None:
    async def main() -> None:
        for _ in count.remote_gen(3):
            pass

    with pytest.raises(InvalidError, match=r"async for .* in .*remote_gen\.aio"):
        asyncio.run(main())


def test_elements_come_as_they_are_made(app: modalnb.App, signal: Any) -> None:
    """The first is here while the function waits to make the second."""
    gate = signal("gate")

    @app.function(max_containers=1)
    def slowly() -> Iterator[int]:
        yield 1
        gate.wait()
        yield 2

    elements = slowly.remote_gen()
    assert next(iter(elements)) == 1
    gate.set()
    assert list(elements) == [2]


def test_stream_is_over_after_its_end(count: modalnb.Function) -> None:
    elements = count.remote_gen(2)
    assert list(elements) == [0, 1]
    assert list(elements) == []


def test_nothing_runs_before_the_first_element_is_asked_for(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    endless = make_endless(app, notes, signal("ended"))
    elements = endless.remote_gen()
    assert endless.snapshot().demand == 0
    assert next(elements) == 0
    elements.close()


def test_function_that_returns_a_generator_may_be_declared_one(app: modalnb.App) -> None:
    @app.function(max_containers=1, is_generator=True)
    def make(stop: int) -> Any:
        return (2 * n for n in range(stop))

    assert list(make.remote_gen(3)) == [0, 2, 4]


def test_large_elements_travel_whole(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def blocks() -> Iterator[bytes]:
        for n in range(12):
            yield bytes([n]) * (3 * 2**20)

    for n, block in enumerate(blocks.remote_gen()):
        assert block == bytes([n]) * (3 * 2**20)


def test_streams_run_beside_each_other_under_concurrent(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=2)
    def tell(name: str) -> Iterator[tuple[str, int]]:
        for n in range(100):
            yield name, n

    first, second = tell.remote_gen("a"), tell.remote_gen("b")
    pairs = list(zip(first, second, strict=True))
    assert pairs == [(("a", n), ("b", n)) for n in range(100)]


def test_container_may_take_elements_of_another(app: modalnb.App, count: modalnb.Function) -> None:
    @app.function(max_containers=1)
    def total(stop: int) -> int:
        return sum(count.remote_gen(stop))

    assert total.remote(200) == sum(range(200))


def test_from_name_handle_streams(app: modalnb.App, count: modalnb.Function) -> None:
    count.hydrate()
    handle = modalnb.Function.from_name("test-app", "count")
    assert list(handle.remote_gen(3)) == [0, 1, 2]
    with pytest.raises(InvalidError, match="is a generator"):
        handle.remote(3)


# -- the window ----------------------------------------------------------------------------


@ENDLESS
def test_slow_consumer_stops_the_producer_within_the_window(
    app: modalnb.App, notes: Any, signal: Any, make: Any
) -> None:
    elements = make(app, notes, signal("ended")).remote_gen()
    assert [next(elements) for _ in range(3)] == [0, 1, 2]
    ahead = settled_count(notes) - 3
    assert WINDOW // 2 <= ahead <= WINDOW + 1
    assert [next(elements) for _ in range(WINDOW)] == list(range(3, WINDOW + 3))
    assert settled_count(notes) - (WINDOW + 3) <= WINDOW + 1
    elements.close()


def test_large_elements_are_bounded_in_bytes(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    def blocks() -> Iterator[bytes]:
        for n in range(1000):
            notes.add(n)
            yield bytes(8 * 2**20)

    elements = blocks.remote_gen()
    assert len(next(elements)) == 8 * 2**20
    assert settled_count(notes) <= 5
    elements.close()


# -- leaving early -------------------------------------------------------------------------


@ENDLESS
@pytest.mark.parametrize("how", ["close", "break"])
def test_early_close_cancels_the_producer(
    app: modalnb.App, notes: Any, signal: Any, make: Any, how: str
) -> None:
    ended = signal("ended")
    endless = make(app, notes, ended)
    if how == "break":
        for n in endless.remote_gen():
            if n == 3:
                break
    else:
        elements = endless.remote_gen()
        assert next(elements) == 0
        elements.close()
        assert list(elements) == []
    gc.collect()
    ended.wait()


def test_early_aclose_cancels_the_producer(app: modalnb.App, notes: Any, signal: Any) -> None:
    ended = signal("ended")
    endless = make_endless_async(app, notes, ended)

    async def main() -> None:
        async with contextlib.aclosing(endless.remote_gen.aio()) as elements:
            async for n in elements:
                if n == 3:
                    return

    asyncio.run(main())
    ended.wait()


def test_early_close_of_a_stream_among_others_leaves_them_alone(
    app: modalnb.App, notes: Any, signal: Any, wait_until: Any
) -> None:
    """It ends where it yields next, so its container need not be replaced."""
    ended = signal("ended")

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=2)
    def count() -> Iterator[int]:
        n = 0
        try:
            while True:
                yield n
                n += 1
        except GeneratorExit:
            ended.set()
            raise

    first, second = count.remote_gen(), count.remote_gen()
    assert [next(first), next(second)] == [0, 0]
    pid = count.snapshot().containers[0].pid
    first.close()
    ended.wait()
    assert [next(second) for _ in range(200)] == list(range(1, 201))
    wait_until(lambda: count.snapshot().running == 1)
    assert [c.pid for c in count.snapshot().containers] == [pid]
    second.close()


def test_container_is_free_for_others_after_an_early_close(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    endless = make_endless(app, notes, signal("ended"))
    pids = set()
    for _ in range(3):
        elements = endless.remote_gen()
        assert next(elements) == 0
        elements.close()
        pids.add(endless.snapshot().containers[0].pid)
    assert len(pids) == 1


# -- failures ------------------------------------------------------------------------------


@pytest.mark.parametrize("yields", [0, 3, 2 * WINDOW])
def test_exception_is_raised_after_the_elements_before_it(app: modalnb.App, yields: int) -> None:
    @app.function(max_containers=1)
    def fail(after: int) -> Iterator[int]:
        yield from range(after)
        raise ValueError("no more")

    elements = fail.remote_gen(yields)
    taken: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        taken.extend(elements)
    assert taken == list(range(yields))
    assert list(elements) == []


def test_exception_of_an_async_generator_is_raised_at_its_point(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    async def fail() -> AsyncIterator[int]:
        yield 1
        raise KeyError("gone")

    async def main() -> None:
        elements = fail.remote_gen.aio()
        assert await anext(elements) == 1
        with pytest.raises(KeyError, match="gone"):
            await anext(elements)

    asyncio.run(main())


def test_unpicklable_element_is_named(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def make() -> Iterator[Any]:
        yield 1
        yield threading.Lock()

    elements = make.remote_gen()
    assert next(elements) == 1
    with pytest.raises(modalnb.exception.SerializationError, match="yielded element"):
        next(elements)


def test_timeout_ends_a_stream(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.5)
    def hang() -> Iterator[int]:
        yield 1
        time.sleep(60)

    elements = hang.remote_gen()
    assert next(elements) == 1
    with pytest.raises(FunctionTimeoutError, match=r"`hang` ran longer than its timeout of 0\.5 s"):
        next(elements)


def test_lost_container_neither_repeats_nor_skips_elements(app: modalnb.App, signal: Any) -> None:
    lost = signal("lost")

    @app.function(max_containers=1)
    def count(stop: int) -> Iterator[int]:
        for n in range(stop):
            if n == 100 and not lost.is_set():
                lost.set()
                os.kill(os.getpid(), signals.SIGKILL)
            yield n

    assert list(count.remote_gen(200)) == list(range(200))
    assert lost.is_set()


# -- misuse --------------------------------------------------------------------------------


def test_other_calls_of_a_generator_are_refused(count: modalnb.Function) -> None:
    calls: list[Any] = [
        lambda: count.remote(1),
        lambda: count.spawn(1),
        lambda: count.spawn_map([1]),
        lambda: list(count.map([1])),
        lambda: list(count.starmap([(1,)])),
        lambda: count.for_each([1]),
    ]
    for call in calls:
        with pytest.raises(InvalidError, match=r"`count` is a generator.*remote_gen"):
            call()


def test_remote_gen_of_a_plain_function_is_refused(app: modalnb.App) -> None:
    @app.function()
    def plain() -> int:
        return 1

    for use in (plain.remote_gen, plain.remote_gen.aio):
        with pytest.raises(InvalidError, match="`plain` is no generator"):
            use()


@pytest.mark.parametrize("retries", [0, 2, modalnb.Retries(max_retries=0)])
def test_retries_of_a_generator_are_refused(retries: Any) -> None:
    with pytest.raises(InvalidError, match="`retries` cannot be set on the generator"):

        @modalnb.App().function(retries=retries)
        def count() -> Iterator[int]:
            yield 1
