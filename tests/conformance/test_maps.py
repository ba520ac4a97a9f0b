"""Maps: bounded in every direction, and nothing is lost, repeated or told twice."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError, SerializationError

WINDOW = 1_000


@pytest.fixture
def square(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=2)
    def square(x: int) -> int:
        return x * x

    return square


# -- arguments -----------------------------------------------------------------------------


def test_iterators_are_zipped_and_the_shortest_ends(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def add(x: int, y: int, z: int = 0) -> int:
        return x + y + z

    assert list(add.map(range(9), [1, 2])) == [1, 3]
    assert list(add.map(range(2), itertools.count(), kwargs={"z": 5})) == [5, 7]
    assert list(add.starmap([(1, 2), (3, 4)], kwargs={"z": 1})) == [4, 8]
    assert list(add.starmap(["ab", "cd"], kwargs={"z": ""}, return_exceptions=True))


def test_starmap_unpacks_whatever_can_be(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def join(x: Any, y: Any) -> str:
        return f"{x}{y}"

    assert list(join.starmap(["ab", [1, 2], (3, 4)])) == ["ab", "12", "34"]
    [ok, failed] = join.starmap([(1, 2), (1, 2, 3)], return_exceptions=True)
    assert ok == "12"
    assert isinstance(failed, TypeError)


def test_async_iterables_are_taken_by_every_member_of_the_family(
    square: modalnb.Function,
) -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(3):
            await asyncio.sleep(0)
            yield n

    async def pairs() -> AsyncIterator[tuple[int]]:
        async for n in numbers():
            yield (n,)

    assert list(square.map(numbers())) == [0, 1, 4]
    assert list(square.starmap(pairs())) == [0, 1, 4]
    assert list(square.spawn_map(numbers()).iter()) == [0, 1, 4]
    square.for_each(numbers())

    async def main() -> list[int]:
        await square.for_each.aio(numbers())
        return [x async for x in square.map.aio(numbers())]

    assert asyncio.run(main()) == [0, 1, 4]


@pytest.mark.parametrize("bad", [1, None])
def test_what_cannot_be_iterated_is_refused_at_the_call(square: modalnb.Function, bad: Any) -> None:
    for call in (square.map, square.starmap, square.for_each, square.spawn_map):
        with pytest.raises(InvalidError, match=r"iterable"):
            call(bad)


def test_no_iterator_is_refused_at_the_call(square: modalnb.Function) -> None:
    for call in (square.map, square.for_each, square.spawn_map):
        with pytest.raises(InvalidError, match="iterator"):
            call()


def test_kwargs_must_be_a_dict(square: modalnb.Function) -> None:
    with pytest.raises(InvalidError, match="`kwargs` must be a dict"):
        square.map([1], kwargs=[("x", 1)])


def test_wrap_returned_exceptions_has_no_effect(square: modalnb.Function) -> None:
    with pytest.warns(DeprecationWarning, match="`wrap_returned_exceptions` has no effect"):
        results = square.map(["a"], return_exceptions=True, wrap_returned_exceptions=True)
    assert isinstance(next(results), TypeError)


# -- results -------------------------------------------------------------------------------


def test_empty_input_ends_at_once(square: modalnb.Function) -> None:
    began = time.monotonic()
    assert list(square.map([])) == []
    assert list(square.starmap(iter([]))) == []
    assert square.for_each([]) is None
    assert list(square.spawn_map([]).iter()) == []
    assert time.monotonic() - began < 5


def test_none_is_a_result(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def nothing(x: int) -> None: ...

    assert list(nothing.map(range(3))) == [None] * 3


def test_unordered_results_come_by_completion(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=2)
    def work(x: int) -> int:
        if x == 0:
            gate.wait()
        return x

    results = work.map(range(3), order_outputs=False)
    first = [next(results), next(results)]
    gate.set()
    assert sorted(first) == [1, 2]
    assert list(results) == [0]


def test_lazy_until_the_first_result_is_asked_for(square: modalnb.Function, notes: Any) -> None:
    def numbers() -> Iterator[int]:
        notes.add("read")
        yield 1

    results = square.map(numbers())
    assert not notes.lines
    assert list(results) == [1]
    assert list(results) == []


def test_map_that_was_never_asked_for_warns_that_nothing_ran(square: modalnb.Function) -> None:
    results = square.map([1])
    with pytest.warns(RuntimeWarning, match="nothing has run"):
        del results


# -- failures ------------------------------------------------------------------------------


def test_earlier_results_that_are_done_come_before_the_failure(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work(x: int) -> int:
        if x == 3:
            raise ValueError(x)
        return x

    results = work.map(range(10))
    taken: list[int] = []
    with pytest.raises(ValueError, match="3"):
        taken.extend(results)
    assert taken == [0, 1, 2]
    assert list(results) == []


def test_failures_of_every_kind_are_returned_in_place(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.5)
    def work(x: int) -> Any:
        if x == 1:
            raise KeyError("one")
        if x == 2:
            raise SystemExit(3)
        if x == 3:
            time.sleep(60)
        if x == 4:
            return threading.Lock()
        return x

    kinds = [type(result).__name__ for result in work.map(range(6), return_exceptions=True)]
    expected = ["int", "KeyError", "SystemExit", "FunctionTimeoutError", "SerializationError"]
    assert kinds == [*expected, "int"]


@pytest.mark.parametrize("raised", [StopIteration, StopAsyncIteration, GeneratorExit])
def test_exceptions_that_steer_loops_do_not_end_a_map_silently(
    app: modalnb.App, raised: Any
) -> None:
    @app.function(max_containers=1)
    def work(x: int) -> int:
        if x == 1:
            raise raised("from the function")
        return x

    taken: list[int] = []
    with pytest.raises((RuntimeError, GeneratorExit)) as caught:
        taken.extend(work.map(range(3)))
    assert taken == [0]
    assert "from the function" in f"{caught.value}{caught.value.__cause__}"
    first, failed, last = work.map(range(3), return_exceptions=True)
    assert (first, type(failed), last) == (0, raised, 2)

    async def main() -> None:
        results = work.map.aio(range(3))
        assert await anext(results) == 0
        with pytest.raises((RuntimeError, GeneratorExit)):
            await anext(results)

    asyncio.run(main())


@pytest.mark.parametrize("returns", [True, False])
def test_errors_of_the_callers_own_are_raised_whatever_is_returned(
    square: modalnb.Function, returns: bool
) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError("in the iterator")

    with pytest.raises(LookupError, match="in the iterator"):
        list(square.map(numbers(), return_exceptions=returns))
    with pytest.raises(SerializationError, match="lock"):
        list(square.map([1, threading.Lock()], return_exceptions=returns))


def test_error_of_an_async_iterator_surfaces_unchanged(square: modalnb.Function) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise LookupError("in the iterator")

    async def main() -> None:
        async for _ in square.map.aio(numbers()):
            pass

    with pytest.raises(LookupError, match="in the iterator"):
        asyncio.run(main())
    with pytest.raises(LookupError, match="in the iterator"):
        list(square.map(numbers()))


def test_error_of_the_iterator_of_a_spawn_map_is_raised(square: modalnb.Function) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError("in the iterator")

    with pytest.raises(LookupError, match="in the iterator"):
        square.spawn_map(numbers())


def test_for_each_raises_the_first_error_unless_ignored(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    def work(x: int) -> None:
        notes.add(x)
        raise ValueError(x)

    with pytest.raises(ValueError, match=r"\d"):
        work.for_each(range(3))
    before = len(notes.lines)
    assert work.for_each(range(5), ignore_exceptions=True) is None
    assert len(notes.lines) >= before + 5

    async def main() -> None:
        await work.for_each.aio(range(2), ignore_exceptions=True)
        await work.for_each.aio(range(2))

    with pytest.raises(ValueError, match=r"\d"):
        asyncio.run(main())


# -- bounds --------------------------------------------------------------------------------


def counting(read: list[int]) -> Iterator[int]:
    """All numbers; notes which were read."""
    for n in itertools.count():
        read.append(n)
        yield n


def settled(values: list[Any]) -> int:
    """How many values there are when no more come."""
    pause = threading.Event()
    before = -1
    while (now := len(values)) != before:
        before = now
        pause.wait(0.2)
    return now


def test_look_ahead_of_an_endless_iterator_is_bounded(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")
    read: list[int] = []

    @app.function(max_containers=1)
    def work(x: int) -> int:
        if x == 3:
            gate.wait()
        return x

    results = work.map(counting(read))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert settled(read) <= 3 + WINDOW + 1
    assert work.snapshot().demand <= WINDOW
    gate.set()
    assert [next(results) for _ in range(2 * WINDOW)] == list(range(3, 2 * WINDOW + 3))
    results.close()


def test_look_ahead_of_an_endless_async_iterator_is_bounded(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")
    read: list[int] = []

    @app.function(max_containers=1)
    def work(x: int) -> int:
        gate.wait()
        return x

    async def numbers() -> AsyncIterator[int]:
        for n in itertools.count():
            read.append(n)
            yield n
            await asyncio.sleep(0)

    async def main() -> list[int]:
        results = work.map.aio(numbers())
        first = asyncio.ensure_future(anext(results))
        count = await asyncio.to_thread(settled, read)
        assert count <= WINDOW + 1
        gate.set()
        taken = [await first, *[await anext(results) for _ in range(WINDOW)]]
        await results.aclose()
        return taken

    assert asyncio.run(main()) == list(range(WINDOW + 1))


def test_results_that_nobody_takes_are_bounded(square: modalnb.Function) -> None:
    """Results behind a consumer that sleeps stop the reading, not the consumer's memory."""
    read: list[int] = []
    results = square.map(counting(read))
    assert next(results) == 0
    assert settled(read) <= 2 * WINDOW + 1
    results.close()


def test_results_behind_a_slow_first_input_are_bounded(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")
    read: list[int] = []

    @app.function(max_containers=2)
    def work(x: int) -> int:
        if x == 0:
            gate.wait()
        return x

    results = work.map(counting(read))
    opened = threading.Timer(1.0, lambda: (settled(read), gate.set()))
    opened.start()
    assert next(results) == 0
    opened.join()
    assert settled(read) <= 2 * WINDOW + 2
    results.close()


def test_map_goes_on_while_the_consumer_is_busy(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    def work(x: int) -> None:
        notes.add(x)

    results = work.map(range(200))
    next(results)
    notes.wait(200)
    assert len(list(results)) == 199


def test_blocking_iterator_holds_up_neither_results_nor_the_loop(
    square: modalnb.Function, signal: Any
) -> None:
    gate = signal("gate")

    def numbers() -> Iterator[int]:
        yield 2
        gate.wait()
        yield 3

    results = square.map(numbers())
    assert next(results) == 4
    gate.set()
    assert list(results) == [9]

    async def main() -> list[int]:
        return [x async for x in square.map.aio(numbers())]

    assert asyncio.run(main()) == [4, 9]


# -- leaving early -------------------------------------------------------------------------


def test_leaving_early_is_silent(
    square: modalnb.Function, capfd: pytest.CaptureFixture[str], wait_until: Any
) -> None:
    square.remote(0)
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in square.map(itertools.count()):
            if x > 9:
                break
        gc.collect()

        async def main() -> None:
            async for x in square.map.aio(itertools.count()):
                if x > 9:
                    return

        asyncio.run(main())
        gc.collect()
        wait_until(lambda: square.snapshot().demand == 0)
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


def test_iterator_is_not_read_any_more_after_an_early_close(square: modalnb.Function) -> None:
    closed: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append("closed")

    results = square.map(numbers())
    assert next(results) == 0
    results.close()
    results.close()
    assert list(results) == []
    gc.collect()


# -- inside of containers ------------------------------------------------------------------


def test_maps_work_inside_of_containers(app: modalnb.App, square: modalnb.Function) -> None:
    @app.function(max_containers=1)
    def outer(n: int) -> list[Any]:
        return [
            list(square.map(range(n))),
            list(square.starmap([(x,) for x in range(n)])),
            square.for_each(range(n)),
            list(square.spawn_map(range(n)).iter()),
        ]

    squares = [x * x for x in range(100)]
    assert outer.remote(100) == [squares, squares, None, squares]


def test_several_maps_at_once_are_kept_apart(square: modalnb.Function) -> None:
    maps = [square.map(range(n, n + 300)) for n in range(3)]
    rows = list(zip(*maps, strict=True))
    assert rows == [tuple((n + k) ** 2 for k in range(3)) for n in range(300)]
