"""``@batched``: single values from many callers, lists for the function."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError


@functools.cache
def barrier(parties: int) -> threading.Barrier:
    """One of a container: it opens when so many batches run at once."""
    return threading.Barrier(parties, timeout=30)


async def gathered(*awaitables: Any) -> list[Any]:
    return list(await asyncio.gather(*awaitables, return_exceptions=True))


async def listed(results: Any) -> list[Any]:
    return [result async for result in results]


# -- the decorator -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_batch_size": 0, "wait_ms": 0}, "`max_batch_size` must be at least 1; got 0"),
        ({"max_batch_size": 1001, "wait_ms": 0}, "`max_batch_size` cannot be greater than 1000"),
        ({"max_batch_size": 1.0, "wait_ms": 0}, "`max_batch_size` must be an int; got 1.0"),
        ({"max_batch_size": 2, "wait_ms": -1}, "`wait_ms` must be at least 0; got -1"),
        ({"max_batch_size": 2, "wait_ms": 600_001}, "`wait_ms` cannot be greater than 600000"),
        ({"max_batch_size": 2, "wait_ms": 0.5}, "`wait_ms` must be an int; got 0.5"),
        ({"max_batch_size": True, "wait_ms": 0}, "`max_batch_size` must be an int; got True"),
        ({"max_batch_size": 2, "wait_ms": 0, "adaptive": 1}, "`adaptive` must be a bool; got 1"),
    ],
)
def test_values_out_of_range_are_refused_at_decoration(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        modalnb.batched(**values)


@pytest.mark.parametrize("values", [{"max_batch_size": 2}, {"wait_ms": 2}])
def test_both_values_are_required(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="missing"):
        modalnb.batched(**values)


def test_function_that_cannot_take_lists_is_refused() -> None:
    def defaults(xs: list[int] = []) -> list[int]:  # noqa: B006
        return xs

    def stream(xs: list[int]) -> Any:
        yield from xs

    def variable(*xs: list[int]) -> list[int]:
        return xs[0]

    cases: list[tuple[Callable[..., Any], str]] = [
        (defaults, "default argument `xs`"),
        (stream, "generator `stream`"),
        (variable, "variable argument `xs`"),
    ]
    for function, text in cases:
        with pytest.raises(InvalidError, match=text):
            modalnb.batched(max_batch_size=2, wait_ms=0)(function)


def test_wrong_order_and_twice_are_refused() -> None:
    batched = modalnb.batched(max_batch_size=2, wait_ms=0)

    def work(xs: list[int]) -> list[int]:
        return xs

    with pytest.raises(InvalidError, match="twice"):
        batched(batched(work))
    with pytest.raises(InvalidError, match="Swap the order"):
        batched(modalnb.App().function()(work))


# -- what a batch is made of ---------------------------------------------------------------


@pytest.fixture
def sizes(app: modalnb.App) -> modalnb.Function:
    """Batches of up to four that wait for long; each caller gets its value and the size."""

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=4, wait_ms=600_000)
    def sizes(xs: list[int]) -> list[tuple[int, int]]:
        return [(x, len(xs)) for x in xs]

    return sizes


def test_calls_of_every_kind_share_a_batch(sizes: modalnb.Function) -> None:
    async def main() -> Any:
        spawned = await sizes.spawn.aio(0)
        return await asyncio.gather(
            spawned.get.aio(), sizes.remote.aio(1), listed(sizes.map.aio([2, 3]))
        )

    assert asyncio.run(main()) == [(0, 4), (1, 4), [(2, 4), (3, 4)]]


def test_each_caller_gets_its_own_element(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    @modalnb.batched(max_batch_size=16, wait_ms=10)
    def double(xs: list[int]) -> list[int]:
        return [2 * x for x in xs]

    async def main() -> list[Any]:
        return await gathered(*(double.remote.aio(x) for x in range(100)))

    assert asyncio.run(main()) == [2 * x for x in range(100)]
    assert list(double.map(range(100))) == [2 * x for x in range(100)]


def test_full_batch_goes_at_once(sizes: modalnb.Function) -> None:
    assert list(sizes.map(range(8))) == [(x, 4) for x in range(8)]
    assert sizes.snapshot().batch_sizes == ((4, 2),)


def test_order_in_a_batch_is_that_of_arrival(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=50, wait_ms=600_000)
    def seen(xs: list[int]) -> list[list[int]]:
        return [xs for _ in xs]

    assert list(seen.map(range(50))) == [list(range(50))] * 50


def test_partial_batch_waits_for_wait_ms_and_not_longer(app: modalnb.App) -> None:
    @app.function(min_containers=1, max_containers=1)
    @modalnb.batched(max_batch_size=4, wait_ms=300)
    def sizes(xs: list[int]) -> list[int]:
        return [len(xs)] * len(xs)

    assert list(sizes.map(range(6))) == [4, 4, 4, 4, 2, 2]
    began = time.monotonic()
    assert sizes.remote(0) == 1
    assert 0.3 <= time.monotonic() - began < 1.5


def test_wait_of_zero_takes_what_is_there(app: modalnb.App, signal: Any, wait_until: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=100, wait_ms=0)
    def sizes(xs: list[int]) -> list[int]:
        if xs == [-1]:
            gate.wait()
        return [len(xs)] * len(xs)

    first = sizes.spawn(-1)
    wait_until(lambda: sizes.snapshot().running == 1)
    rest = sizes.spawn_map(range(5))
    gate.set()
    assert first.get() == 1
    assert list(rest.iter()) == [5] * 5


def test_batches_are_sealed_late(app: modalnb.App, signal: Any, wait_until: Any) -> None:
    """While no slot is free the queue grows beyond its wait, and then goes as one."""
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=100, wait_ms=1)
    def sizes(xs: list[int]) -> list[int]:
        if xs == [-1]:
            gate.wait()
        return [len(xs)] * len(xs)

    first = sizes.spawn(-1)
    wait_until(lambda: sizes.snapshot().running == 1)
    late = []
    for n in range(4):
        late.append(sizes.spawn(n))
        wait_until(lambda: sizes.snapshot().pending == len(late))
    gate.set()
    assert first.get() == 1
    assert modalnb.FunctionCall.gather(*late) == [4] * 4


def test_coroutines_take_batches_too(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=3, wait_ms=600_000)
    async def sizes(xs: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return [x * len(xs) for x in xs]

    assert list(sizes.map(range(6))) == [0, 3, 6, 9, 12, 15]


def test_positional_and_keyword_callers_share_a_batch(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=3, wait_ms=600_000)
    def add(xs: list[int], ys: list[int]) -> list[tuple[int, int]]:
        return [(x + y, len(xs)) for x, y in zip(xs, ys, strict=True)]

    async def main() -> list[Any]:
        return await gathered(
            add.remote.aio(1, 10), add.remote.aio(2, ys=20), add.remote.aio(ys=30, xs=3)
        )

    assert asyncio.run(main()) == [(11, 3), (22, 3), (33, 3)]


@pytest.mark.parametrize("is_outer", [True, False])
def test_stacks_with_concurrent_in_either_order(app: modalnb.App, is_outer: bool) -> None:
    """Several batches run at once in one container; each takes one slot."""

    def meet(xs: list[int]) -> list[tuple[int, int]]:
        barrier(2).wait()
        return [(os.getpid(), len(xs))] * len(xs)

    concurrent = modalnb.concurrent(max_inputs=2)
    batched = modalnb.batched(max_batch_size=2, wait_ms=600_000)
    marked = concurrent(batched(meet)) if is_outer else batched(concurrent(meet))
    function = app.function(max_containers=1)(marked)
    results = list(function.map(range(4)))
    assert len(set(results)) == 1
    assert results[0][1] == 2


def test_without_concurrent_one_batch_runs_at_a_time(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=0)
    def work(xs: list[int]) -> list[int]:
        notes.add("begin")
        time.sleep(0.01)
        notes.add("end")
        return xs

    assert list(work.map(range(6))) == list(range(6))
    assert notes.lines == ["begin", "end"] * (len(notes.lines) // 2)


# -- failures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ((1, 2, 3), "must be a list; got a tuple"),
        (None, "must be a list; got a NoneType"),
        ({1: 2}, "must be a list; got a dict"),
        ([1, 2], "must be a list of equal length as its inputs; got 2 elements for 3 inputs"),
        ([1, 2, 3, 4], "must be a list of equal length as its inputs; got 4 elements for 3"),
    ],
)
def test_result_of_wrong_shape_fails_every_caller_of_the_batch(
    app: modalnb.App, result: Any, text: str
) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=3, wait_ms=600_000)
    def work(xs: list[int]) -> Any:
        return result

    failures = list(work.map(range(3), return_exceptions=True))
    assert [type(failure) for failure in failures] == [InvalidError] * 3
    assert all(text in str(failure) for failure in failures)


def test_result_that_is_no_value_yet_fails_every_caller(app: modalnb.App) -> None:
    """A plain function that returns a coroutine or a generator of the right elements."""

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=600_000)
    def later(xs: list[int]) -> Any:
        async def values() -> list[int]:
            return xs

        return values()

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=600_000)
    def lazily(xs: list[int]) -> Any:
        return (x for x in xs)

    for function, kind in [(later, "coroutine"), (lazily, "generator")]:
        failures = list(function.map(range(2), return_exceptions=True))
        assert [type(failure) for failure in failures] == [InvalidError] * 2
        assert f"must be a list; got a {kind}" in str(failures[0])


def test_exception_in_the_body_goes_to_every_caller(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=600_000)
    def work(xs: list[int]) -> list[int]:
        if 1 in xs:
            raise KeyError("bad")
        return xs

    results = list(work.map([0, 1, 2, 3], return_exceptions=True))
    assert [type(result) for result in results] == [KeyError, KeyError, int, int]


def test_exceptions_as_elements_are_values(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=600_000)
    def invert(xs: list[int]) -> list[Any]:
        return [1 / x if x else ValueError("zero") for x in xs]

    zero, half = invert.map([0, 2])
    assert isinstance(zero, ValueError)
    assert half == 0.5


def test_unpicklable_element_fails_its_caller_alone(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=600_000)
    def make(xs: list[int]) -> list[Any]:
        return [x or threading.Lock() for x in xs]

    bad, good = make.map(range(2), return_exceptions=True)
    assert isinstance(bad, modalnb.exception.SerializationError)
    assert good == 1


def test_arguments_that_do_not_fit_are_refused_alone(app: modalnb.App) -> None:
    """They cannot poison a batch: the others run as if they had not been there."""

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=5, wait_ms=600_000)
    def sizes(xs: list[int], ys: list[int]) -> list[tuple[int, int]]:
        return [(x + y, len(xs)) for x, y in zip(xs, ys, strict=True)]

    async def main() -> list[Any]:
        return await gathered(
            sizes.remote.aio(1, 1),
            sizes.remote.aio(1),
            sizes.remote.aio(1, 2, 3),
            sizes.remote.aio(1, 2, z=3),
            sizes.remote.aio(2, 2),
        )

    first, *refused, last = asyncio.run(main())
    assert (first, last) == ((2, 2), (4, 2))
    assert [type(error) for error in refused] == [InvalidError] * 3
    assert "missing a required argument: 'ys'" in str(refused[0])
    assert "too many positional arguments" in str(refused[1])
    assert "unexpected keyword argument 'z'" in str(refused[2])


def test_batch_without_a_fitting_input_runs_nothing(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=0)
    def work(xs: list[int]) -> list[int]:
        notes.add("ran")
        return xs

    with pytest.raises(InvalidError, match="do not fit batched `work`"):
        work.remote()
    assert not notes.lines


def test_current_input_in_a_batch_is_the_first(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=3, wait_ms=600_000)
    def who(xs: list[int]) -> list[str | None]:
        return [modalnb.current_input_id() for _ in xs]

    call = who.spawn_map(range(3))
    assert set(call.iter()) == {f"in-{call.object_id[3:]}-0"}


def test_cancelled_input_leaves_the_others_of_its_batch(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.batched(max_batch_size=2, wait_ms=600_000)
    def work(xs: list[int]) -> list[int]:
        gate.wait()
        return xs

    calls = [work.spawn(n) for n in range(2)]
    wait_until(lambda: work.snapshot().running == 2)
    calls[0].cancel()
    gate.set()
    assert calls[1].get() == 1
    with pytest.raises(modalnb.exception.InputCancelledError):
        calls[0].get()


# -- whether batching pays -----------------------------------------------------------------


def test_sizes_and_waits_are_in_the_snapshot(app: modalnb.App) -> None:
    @app.function(min_containers=1, max_containers=1)
    @modalnb.batched(max_batch_size=4, wait_ms=200)
    def work(xs: list[int]) -> list[int]:
        return xs

    assert list(work.map(range(6))) == list(range(6))
    snapshot = work.snapshot()
    assert snapshot.max_batch_size == 4
    assert snapshot.batch_sizes == ((2, 1), (4, 1))
    assert sum(count for _, count in snapshot.batch_waits) == 2
    assert sum(count for bound, count in snapshot.batch_waits if bound > 0.1) >= 1


def test_capacity_of_a_container_is_a_batch(app: modalnb.App, signal: Any, wait_until: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=3)
    @modalnb.batched(max_batch_size=4, wait_ms=0)
    def work(xs: list[int]) -> list[int]:
        gate.wait()
        return xs

    call = work.spawn_map(range(8))
    wait_until(lambda: work.snapshot().running == 8)
    assert len(work.snapshot().containers) == 2
    gate.set()
    assert list(call.iter()) == list(range(8))


def test_adaptive_batches_do_not_keep_a_lone_caller_waiting(app: modalnb.App) -> None:
    """One caller who asks again and again never fills a batch, so nothing waits for it."""

    def define(name: str, *, adaptive: bool) -> modalnb.Function:
        @app.function(name=name, min_containers=1, max_containers=1)
        @modalnb.batched(max_batch_size=8, wait_ms=400, adaptive=adaptive)
        def work(xs: list[int]) -> list[int]:
            return [len(xs)] * len(xs)

        return work

    def seconds(function: modalnb.Function) -> float:
        began = time.monotonic()
        assert function.remote(0) == 1
        return time.monotonic() - began

    waiting, adaptive = define("waiting", adaptive=False), define("adaptive", adaptive=True)
    for function in (waiting, adaptive):
        function.remote(0)
    assert min(seconds(waiting) for _ in range(2)) >= 0.4
    assert max(seconds(adaptive) for _ in range(6)) < 0.3


def test_adaptive_batches_fill_when_many_call(app: modalnb.App) -> None:
    @app.function(min_containers=1, max_containers=1)
    @modalnb.batched(max_batch_size=8, wait_ms=400, adaptive=True)
    def work(xs: list[int]) -> list[int]:
        time.sleep(0.01)
        return [len(xs)] * len(xs)

    async def caller() -> list[int]:
        return [await work.remote.aio(n) for n in range(6)]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(caller() for _ in range(8)))

    for _ in range(4):
        work.remote(0)
    sizes = [size for sizes in asyncio.run(main()) for size in sizes[2:]]
    assert sum(sizes) / len(sizes) > 4
