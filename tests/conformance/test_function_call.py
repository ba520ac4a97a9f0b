"""FunctionCall: the handle of what was spawned, for whoever asks and as often as they like."""

from __future__ import annotations

import asyncio
import builtins
import pickle
import time
from typing import Any

import pytest

import modalnb
from modalnb.exception import FunctionTimeoutError, InvalidError, NotFoundError, RemoteError

FunctionCall = modalnb.FunctionCall


@pytest.fixture
def add(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=1)
    def add(x: int, y: int = 10) -> int:
        return x + y

    return add


# -- identity ------------------------------------------------------------------------------


def test_id_and_text(add: modalnb.Function) -> None:
    call = add.spawn(1)
    assert call.object_id.startswith("fc-")
    assert repr(call) == f"FunctionCall.from_id('{call.object_id}')"
    assert FunctionCall.from_id(call.object_id).get() == 11


def test_from_id_asks_nobody(add: modalnb.Function) -> None:
    unknown = FunctionCall.from_id("fc-never")
    uses = (unknown.get, unknown.num_inputs, unknown.get_call_graph, unknown.iter, unknown.cancel)
    for use in uses:
        with pytest.raises(NotFoundError, match="fc-never"):
            use()
    with pytest.raises(InvalidError, match="starts with 'fc-'"):
        FunctionCall.from_id("in-1")


def test_handles_travel_to_other_containers(app: modalnb.App, add: modalnb.Function) -> None:
    @app.function(max_containers=1)
    def take(call: FunctionCall, text: str) -> list[int]:
        return [call.get(), FunctionCall.from_id(text).get()]

    call = add.spawn(1)
    assert pickle.loads(pickle.dumps(call)).get() == 11
    assert take.remote(call, call.object_id) == [11, 11]


def test_handles_come_back_from_containers(app: modalnb.App, add: modalnb.Function) -> None:
    """What a container spawned outlives the input that did."""

    @app.function(max_containers=1)
    def start() -> FunctionCall:
        return add.spawn(5)  # type: ignore[no-any-return]

    assert start.remote().get() == 15


# -- get -----------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.05])
def test_get_of_what_is_not_there_in_time_is_the_builtin_timeout(
    app: modalnb.App, signal: Any, timeout: float
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work() -> int:
        gate.wait()
        return 1

    call = work.spawn()
    with pytest.raises(builtins.TimeoutError) as caught:
        call.get(timeout=timeout)
    assert type(caught.value) is builtins.TimeoutError
    assert str(caught.value) == ""

    async def main() -> None:
        with pytest.raises(builtins.TimeoutError):
            await call.get.aio(timeout=timeout)

    asyncio.run(main())
    gate.set()
    assert call.get() == 1


def test_get_polls_at_least_once(add: modalnb.Function) -> None:
    call = add.spawn(1)
    assert call.get() == 11
    assert [call.get(timeout=timeout) for timeout in (0, -1, 0.0)] == [11] * 3


def test_get_may_be_repeated_and_gives_copies(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def make() -> list[int]:
        return [1]

    call = make.spawn()
    call.get().append(2)
    assert call.get() == [1]


def test_failure_is_raised_by_each_get(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.4)
    def work(kind: str) -> None:
        if kind == "error":
            raise KeyError("gone")
        time.sleep(60)

    expected: list[tuple[str, type[BaseException]]] = [
        ("error", KeyError),
        ("timeout", FunctionTimeoutError),
        ("cancel", RemoteError),
    ]
    for kind, error in expected:
        call = work.spawn(kind)
        if kind == "cancel":
            call.cancel()
        for _ in range(2):
            with pytest.raises(error):
                call.get()


def test_get_of_many_threads_and_tasks_at_once(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work() -> int:
        gate.wait()
        return 7

    call = work.spawn()

    async def main() -> list[int]:
        waits = [call.get.aio() for _ in range(10)]
        threads = [asyncio.to_thread(call.get) for _ in range(3)]
        asyncio.get_running_loop().call_later(0.2, gate.set)
        return list(await asyncio.gather(*waits, *threads))

    assert asyncio.run(main()) == [7] * 13


@pytest.mark.parametrize("timeout", ["1", True, float("nan")])
def test_timeout_of_wrong_type_is_refused(add: modalnb.Function, timeout: Any) -> None:
    with pytest.raises(InvalidError, match="`timeout` must be a number of seconds"):
        add.spawn(1).get(timeout=timeout)


@pytest.mark.parametrize("index", [-1, 1.0, True, "0"])
def test_index_of_wrong_type_is_refused(add: modalnb.Function, index: Any) -> None:
    with pytest.raises(InvalidError, match="`index` must be an int of at least 0"):
        add.spawn(1).get(index=index)


def test_index_beyond_the_inputs_is_refused_and_never_awaited(add: modalnb.Function) -> None:
    one, many = add.spawn(1), add.spawn_map(range(3))
    for call, count in ((one, 1), (many, 3)):
        for timeout in (None, 0):
            with pytest.raises(InvalidError, match=f"`index` must be below {count}; got 5"):
                call.get(timeout=timeout, index=5)

    async def main() -> None:
        await one.get.aio(index=5)

    with pytest.raises(InvalidError, match="`index` must be below 1"):
        asyncio.run(main())


# -- many inputs ---------------------------------------------------------------------------


def test_spawn_map_is_one_call(add: modalnb.Function) -> None:
    call = add.spawn_map(range(600), kwargs={"y": 1})
    assert call.num_inputs() == 600
    assert call.get(index=599) == 600
    assert list(call.iter()) == list(range(1, 601))
    assert list(call.iter(start=2, end=4)) == [3, 4]
    assert list(call.iter(start=600)) == []


@pytest.mark.parametrize(("start", "end"), [(-1, None), (0, 4), (3, 2), (4, None)])
def test_range_outside_of_the_inputs_is_a_value_error(
    add: modalnb.Function, start: int, end: int | None
) -> None:
    call = add.spawn_map(range(3))
    with pytest.raises(ValueError, match=r"must lie within 0\.\.3"):
        call.iter(start=start, end=end)


def test_iter_raises_a_failure_at_its_index(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def invert(x: int) -> float:
        return 1 / x

    values = invert.spawn_map([1, 2, 0, 4]).iter()
    assert [next(values), next(values)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(values)


def test_iter_gives_results_as_they_come(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work(x: int) -> int:
        if x == 1:
            gate.wait()
        return x

    values = work.spawn_map(range(3)).iter()
    assert next(values) == 0
    gate.set()
    assert list(values) == [1, 2]


# -- gather --------------------------------------------------------------------------------


def test_gather_is_in_the_order_of_its_arguments(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=2)
    def work(x: int) -> int:
        if x == 0:
            gate.wait()
        else:
            gate.set()
        return x

    calls = [work.spawn(x) for x in range(2)]
    assert FunctionCall.gather(*calls) == [0, 1]
    assert FunctionCall.gather() == []


def test_gather_raises_the_first_failure_and_the_others_go_on(
    app: modalnb.App, signal: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=2)
    def work(x: int) -> int:
        if x == 1:
            raise ValueError(x)
        gate.wait()
        return x

    slow, failed = work.spawn(0), work.spawn(1)
    began = time.monotonic()
    with pytest.raises(ValueError, match="1"):
        FunctionCall.gather(slow, failed)
    assert time.monotonic() - began < 20

    async def main() -> None:
        await FunctionCall.gather.aio(slow, failed)

    with pytest.raises(ValueError, match="1"):
        asyncio.run(main())
    gate.set()
    assert slow.get() == 0


def test_gather_may_return_exceptions(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def invert(x: int) -> float:
        return 1 / x

    calls = [invert.spawn(x) for x in (2, 0, 4)]
    first, failed, last = FunctionCall.gather(*calls, return_exceptions=True)
    assert (first, last) == (0.5, 0.25)
    assert isinstance(failed, ZeroDivisionError)
