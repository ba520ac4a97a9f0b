"""The map family against real containers."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError


def _square(x: int) -> int:
    return x * x


@pytest.fixture
def square(app: modalnb.App) -> modalnb.Function:
    return app.function(max_containers=2)(_square)


def test_map_of_ten_thousand_keeps_input_order(square: modalnb.Function) -> None:
    assert list(square.map(list(range(10_000)))) == [i * i for i in range(10_000)]


def test_map_unordered_gives_every_result_once(square: modalnb.Function) -> None:
    results = list(square.map(range(500), order_outputs=False))
    assert sorted(results) == [i * i for i in range(500)]


def test_map_unordered_gives_fast_results_before_slow_ones(app: modalnb.App, tmp_path: Any) -> None:
    """Results come by completion: the first input ends only when the others are done."""
    gate = str(tmp_path / "gate")

    @app.function(min_containers=2, max_containers=2)
    def wait_for_gate(i: int) -> int:
        pause = threading.Event()
        while i == 0 and not os.path.exists(gate):
            pause.wait(0.01)
        return i

    seen = []
    for result in wait_for_gate.map(range(4), order_outputs=False):
        seen.append(result)
        if len(seen) == 3:
            open(gate, "w").close()
    assert seen[-1] == 0
    assert sorted(seen) == [0, 1, 2, 3]


def test_starmap_unpacks_each_item(app: modalnb.App) -> None:
    @app.function()
    def add(x: int, y: int) -> int:
        return x + y

    assert list(add.starmap([(1, 2), (3, 4), (5, 6)])) == [3, 7, 11]
    assert list(add.starmap(["ab"])) == ["ab"]


def test_starmap_with_wrong_arity_fails_at_that_index(app: modalnb.App) -> None:
    @app.function()
    def add(x: int, y: int) -> int:
        return x + y

    results = list(add.starmap([(1, 2), (3,)], return_exceptions=True))
    assert results[0] == 3
    assert isinstance(results[1], TypeError)


def test_map_zips_iterators_and_passes_kwargs(app: modalnb.App) -> None:
    @app.function()
    def combine(a: int, b: str, suffix: str = "") -> str:
        return f"{a}{b}{suffix}"

    assert list(combine.map([1, 2, 3], "xy", kwargs={"suffix": "!"})) == ["1x!", "2y!"]


def test_map_of_nothing_is_empty(square: modalnb.Function) -> None:
    assert list(square.map([])) == []


def test_map_keeps_none_results(app: modalnb.App) -> None:
    @app.function()
    def nothing(x: int) -> None:
        return None

    assert list(nothing.map(range(3))) == [None, None, None]


def test_map_returns_exceptions_themselves_in_place(app: modalnb.App) -> None:
    @app.function()
    def fail_on_three(x: int) -> int:
        if x == 3:
            raise KeyError("three")
        return x

    results = list(fail_on_three.map(range(6), return_exceptions=True))
    assert results[:3] == [0, 1, 2]
    assert results[4:] == [4, 5]
    assert type(results[3]) is KeyError
    assert results[3].args == ("three",)
    assert results[3].__traceback__ is not None


def test_map_failure_comes_after_earlier_results_that_are_done(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def fail_on_three(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    seen: list[int] = []
    with pytest.raises(ValueError, match="three"):
        seen.extend(fail_on_three.map(range(1000)))
    assert seen == [0, 1, 2]


def test_map_without_iterator_is_refused(square: modalnb.Function) -> None:
    with pytest.raises(InvalidError, match="at least one iterator"):
        square.map()


def test_map_of_something_not_iterable_is_refused(square: modalnb.Function) -> None:
    with pytest.raises(InvalidError, match="needs iterables; got 7"):
        square.map(7)


def test_map_never_iterated_warns(square: modalnb.Function) -> None:
    with pytest.warns(RuntimeWarning, match="never asked for"):
        square.map([1])


def test_map_iterated_twice_gives_nothing_the_second_time(square: modalnb.Function) -> None:
    results = square.map([1, 2])
    assert list(results) == [1, 4]
    assert list(results) == []


def test_map_reads_nothing_before_the_first_result_is_asked_for(square: modalnb.Function) -> None:
    numbers = itertools.count()
    results = square.map(numbers)
    assert next(numbers) == 0
    results.close()


def test_map_of_an_endless_iterator_is_bounded_and_works(square: modalnb.Function) -> None:
    read = 0

    def numbers() -> Iterator[int]:
        nonlocal read
        for number in itertools.count():
            read = number
            yield number

    results = square.map(numbers())
    assert list(itertools.islice(results, 50)) == [i * i for i in range(50)]
    results.close()
    assert read <= 50 + 2 * 1000


def test_map_error_of_the_iterator_surfaces_unchanged(square: modalnb.Function) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(square.map(numbers()))


def test_map_closed_early_cancels_what_is_pending(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=1)
    def one(x: int) -> int:
        return x

    results = one.map(itertools.count())
    next(results)
    results.close()
    wait_until(lambda: one.snapshot().demand == 0)


def test_map_of_an_async_iterator_works_in_a_plain_for(square: modalnb.Function) -> None:
    async def numbers() -> AsyncIterator[int]:
        for i in range(5):
            await asyncio.sleep(0)
            yield i

    assert list(square.map(numbers())) == [0, 1, 4, 9, 16]


def test_map_aio_is_an_async_iterator(square: modalnb.Function) -> None:
    async def main() -> list[int]:
        return [x async for x in square.map.aio(range(200))]

    assert asyncio.run(main()) == [i * i for i in range(200)]


def test_map_without_aio_works_in_async_for(square: modalnb.Function) -> None:
    async def main() -> list[int]:
        return [x async for x in square.map(range(3))]

    assert asyncio.run(main()) == [0, 1, 4]


def test_map_aio_reads_an_async_generator_on_the_callers_loop(square: modalnb.Function) -> None:
    loops = set()

    async def numbers() -> AsyncIterator[int]:
        for i in range(5):
            loops.add(asyncio.get_running_loop())
            await asyncio.sleep(0)
            yield i

    async def main() -> list[int]:
        results = [x async for x in square.map.aio(numbers())]
        assert loops == {asyncio.get_running_loop()}
        return results

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_blocking_map_in_a_coroutine_names_the_twin(square: modalnb.Function) -> None:
    async def main() -> None:
        list(square.map([1]))

    with pytest.raises(InvalidError, match=r"\.map\.aio\(\.\.\.\)"):
        asyncio.run(main())


def test_for_each_runs_all_and_returns_none(app: modalnb.App, tmp_path: Any) -> None:
    folder = str(tmp_path)

    @app.function()
    def touch(name: str) -> None:
        open(os.path.join(folder, name), "w").close()

    assert touch.for_each(["a", "b", "c"]) is None
    assert sorted(os.listdir(folder)) == ["a", "b", "c"]


def test_for_each_raises_the_first_error_unless_ignored(app: modalnb.App) -> None:
    @app.function()
    def fail(x: int) -> None:
        raise ValueError(x)

    with pytest.raises(ValueError, match="1"):
        fail.for_each([1])
    fail.for_each([1, 2], ignore_exceptions=True)


def test_for_each_aio_awaits(square: modalnb.Function) -> None:
    asyncio.run(square.for_each.aio(range(10)))


def test_map_progresses_while_the_consumer_is_busy(
    square: modalnb.Function, wait_until: Any
) -> None:
    """All 400 inputs run although only one result has been taken."""
    results = square.map(range(400))
    assert next(results) == 0
    wait_until(lambda: square.snapshot().done >= 400)
    assert list(results) == [i * i for i in range(1, 400)]


def test_four_maps_at_once_wait_for_the_limit_and_never_fail(square: modalnb.Function) -> None:
    """Four maps may have 4,000 inputs on the way, twice the pending limit of a function."""
    results: dict[int, list[int]] = {}

    def work(n: int) -> None:
        results[n] = list(square.map(range(n, n + 2_500)))

    threads = [threading.Thread(target=work, args=(n * 10_000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {
        n * 10_000: [i * i for i in range(n * 10_000, n * 10_000 + 2_500)] for n in range(4)
    }


def test_large_arguments_on_the_way_are_bounded_in_bytes(app: modalnb.App, tmp_path: Any) -> None:
    """A map of large arrays must not fill the memory with what waits to be worked on."""
    import numpy as np

    gate = str(tmp_path / "gate")

    @app.function(max_containers=1)
    def total(a: Any) -> float:
        while not os.path.exists(gate):
            threading.Event().wait(0.01)
        return float(a.sum())

    read = threading.Semaphore(0)
    many = threading.Event()

    def arrays() -> Iterator[Any]:
        for n in range(40):
            read.release()
            if n == 12:
                many.set()
            yield np.full(50_000, n, dtype=np.float64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modalnb.api.map_run.MAX_BYTES", 2_000_000)
        results = total.map(arrays())
        first = threading.Thread(target=lambda: next(results))
        first.start()
        for _ in range(5):
            assert read.acquire(timeout=10)
        assert not many.wait(0.5)
        open(gate, "w").close()
        first.join()
        assert list(results) == [50_000.0 * n for n in range(1, 40)]


def test_large_arguments_and_results_travel_whole(app: modalnb.App) -> None:
    import numpy as np

    @app.function()
    def double(a: Any) -> Any:
        a *= 2
        return a

    arrays = [np.full(200_000, i, dtype=np.float64) for i in range(8)]
    for i, result in enumerate(double.map(arrays)):
        assert result.sum() == 2 * i * 200_000
        result += 1  # it is ours to change
    assert arrays[1].sum() == 200_000
