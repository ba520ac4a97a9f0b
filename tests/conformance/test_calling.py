"""Calls of one input, and what all kinds of calls have in common."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import modalnb
from modalnb.exception import ExecutionError, InvalidError, NotFoundError


@pytest.fixture
def add(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=2)
    def add(x: int, y: int = 10, *more: int, z: int = 0) -> int:
        return x + y + sum(more) + z

    return add


# -- remote, local, spawn ------------------------------------------------------------------


def test_arguments_of_every_kind_arrive(add: modalnb.Function) -> None:
    assert add.remote(1) == 11
    assert add.remote(1, 2, 3, 4, z=5) == 15
    assert add.remote(y=1, x=2) == 3
    assert add.spawn(1, z=1).get() == 12


def test_values_of_every_kind_come_back(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def echo(value: Any) -> Any:
        return value

    class Mine:
        def __eq__(self, other: object) -> bool:
            return type(other) is Mine

        __hash__ = None  # type: ignore[assignment]

    values: list[Any] = [None, 0, "", b"", [], {"a": (1, {2})}, Mine(), float("inf"), lambda: 1]
    for value in values:
        back = echo.remote(value)
        assert back() == 1 if callable(value) else back == value


def test_arguments_are_copies(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def change(values: list[int]) -> list[int]:
        values.append(1)
        return values

    values: list[int] = []
    assert change.remote(values) == [1]
    assert values == []


def test_wrong_arguments_are_a_type_error_of_the_call(add: modalnb.Function) -> None:
    for call in (lambda: add.remote(), lambda: add.spawn(1, a=2).get()):
        with pytest.raises(TypeError, match="add"):
            call()


def test_function_is_not_callable(add: modalnb.Function) -> None:
    with pytest.raises(TypeError, match="'Function' object is not callable"):
        add(1)


def test_local_runs_the_raw_function_here(add: modalnb.Function) -> None:
    assert add.local(1) == 11

    @modalnb.App().function()
    async def later() -> int:
        return 3

    coroutine = later.local()
    assert inspect.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == 3


def test_local_works_inside_of_containers(app: modalnb.App, add: modalnb.Function) -> None:
    @app.function(max_containers=1)
    def outer(x: int) -> tuple[int, bool]:
        return add.local(x), modalnb.is_local()

    assert outer.remote(1) == (11, False)


def test_local_of_a_name_has_no_definition(add: modalnb.Function) -> None:
    add.hydrate()
    with pytest.raises(ExecutionError, match="no local definition"):
        modalnb.Function.from_name("test-app", "add").local(1)


def test_from_name_is_lazy_and_calls_like_any_other(add: modalnb.Function) -> None:
    unknown = modalnb.Function.from_name("test-app", "nothing")
    add.hydrate()
    for use in (lambda: unknown.remote(1), lambda: unknown.spawn(1), unknown.hydrate):
        with pytest.raises(NotFoundError, match="nothing"):
            use()
    known = modalnb.Function.from_name("test-app", "add")
    assert known.remote(1) == 11
    assert list(known.map([1, 2])) == [11, 12]
    assert known.hydrate() is known


def test_name_with_a_dot_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"Cls\.from_name"):
        modalnb.Function.from_name("my-app", "Model.predict")


def test_spawn_returns_when_the_input_is_accepted(app: modalnb.App, signal: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work() -> int:
        gate.wait()
        return 1

    call = work.spawn()
    assert work.snapshot().demand == 1
    gate.set()
    assert call.get() == 1


# -- .aio ----------------------------------------------------------------------------------


def test_every_blocking_method_has_a_twin(app: modalnb.App) -> None:
    """Modal's own; what is modalnb's beyond that only looks and answers at once."""

    @app.function()
    def work() -> None: ...

    call = modalnb.FunctionCall.from_id("fc-1")
    owners: list[tuple[Any, str]] = [
        (
            work,
            "remote remote_gen map starmap for_each spawn spawn_map update_autoscaler "
            "get_current_stats hydrate get_web_url",
        ),
        (call, "get iter num_inputs cancel get_call_graph gather"),
        (modalnb.FunctionCall, "gather"),
        (app, "deploy stop"),
        (modalnb.App, "lookup"),
    ]
    for owner, names in owners:
        for name in names.split():
            assert callable(getattr(owner, name).aio), name


BLOCKING: dict[str, Callable[[modalnb.Function], Any]] = {
    "remote": lambda f: f.remote(1),
    "spawn": lambda f: f.spawn(1),
    "map": lambda f: list(f.map([1])),
    "starmap": lambda f: list(f.starmap([(1,)])),
    "for_each": lambda f: f.for_each([1]),
    "spawn_map": lambda f: f.spawn_map([1]),
    "update_autoscaler": lambda f: f.update_autoscaler(min_containers=0),
    "get_current_stats": lambda f: f.get_current_stats(),
    "hydrate": lambda f: f.hydrate(),
    "get": lambda f: modalnb.FunctionCall.from_id("fc-1").get(),
    "iter": lambda f: modalnb.FunctionCall.from_id("fc-1").iter(),
    "num_inputs": lambda f: modalnb.FunctionCall.from_id("fc-1").num_inputs(),
    "cancel": lambda f: modalnb.FunctionCall.from_id("fc-1").cancel(),
    "get_call_graph": lambda f: modalnb.FunctionCall.from_id("fc-1").get_call_graph(),
    "gather": lambda f: modalnb.FunctionCall.gather(modalnb.FunctionCall.from_id("fc-1")),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BLOCKING)
def test_blocking_call_in_a_coroutine_names_the_twin(add: modalnb.Function, name: str) -> None:
    """Also in plain functions that a coroutine calls: its loop would stand still."""

    async def direct() -> None:
        BLOCKING[name](add)

    with pytest.raises(InvalidError, match=rf"{name}\.aio") as caught:
        asyncio.run(direct())
    assert "coroutine" in str(caught.value)


def test_twins_work_in_a_coroutine(add: modalnb.Function) -> None:
    async def main() -> list[Any]:
        call = await add.spawn.aio(1)
        many = await add.spawn_map.aio([1, 2])
        await add.for_each.aio([1])
        settings = await add.update_autoscaler.aio(buffer_containers=0)
        stats = await add.get_current_stats.aio()
        assert (settings.buffer_containers, stats.backlog) == (0, 0)
        assert await add.hydrate.aio() is add
        return [
            await add.remote.aio(1),
            [x async for x in add.map.aio([1, 2])],
            [x async for x in add.map([1, 2])],
            [x async for x in add.starmap.aio([(1, 2)])],
            await call.get.aio(),
            await many.num_inputs.aio(),
            [x async for x in many.iter.aio()],
            await modalnb.FunctionCall.gather.aio(call, many),
            [info.function_name for info in await call.get_call_graph.aio()],
        ]

    assert asyncio.run(main()) == [11, [11, 12], [11, 12], [3], 11, 2, [11, 12], [11, 11], ["add"]]


def test_blocking_call_beside_a_loop_works(add: modalnb.Function) -> None:
    """In a thread that a coroutine awaits, and where a loop runs but no coroutine calls."""

    async def main() -> tuple[int, int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: seen.append(add.remote(2)))
        beside = await asyncio.to_thread(add.remote, 1)
        return beside, seen[0]

    assert asyncio.run(main()) == (11, 12)


def test_coroutine_in_a_container_has_the_same_rules(
    app: modalnb.App, add: modalnb.Function
) -> None:
    @app.function(max_containers=1)
    async def outer(blocks: bool) -> Any:
        if blocks:
            return add.remote(1)
        return [x async for x in add.map.aio([1, 2])], await add.remote.aio(1)

    with pytest.raises(InvalidError, match=r"remote\.aio"):
        outer.remote(True)
    assert outer.remote(False) == ([11, 12], 11)


def test_thousand_awaits_at_once(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=100)
    async def double(x: int) -> int:
        return 2 * x

    async def main() -> Any:
        return await asyncio.gather(*(double.remote.aio(n) for n in range(1000)))

    assert asyncio.run(main()) == [2 * n for n in range(1000)]


def test_calls_from_many_threads_at_once(add: modalnb.Function) -> None:
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: add.remote(n)})) for n in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: n + 10 for n in range(50)}


# -- fairness ------------------------------------------------------------------------------


def test_single_call_is_not_stuck_behind_a_large_one(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=1)
    def work(x: int) -> int:
        time.sleep(0.02)
        return x

    many = work.spawn_map(range(1000))
    wait_until(lambda: many.status()["done"] >= 2)
    assert work.remote(-1) == -1
    assert many.status()["done"] < 500
    many.cancel()


def test_calls_take_turns_and_each_is_first_in_first_out(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    def work(call: str, n: int) -> None:
        notes.add(f"{call}{n}")
        time.sleep(0.03)

    first = work.spawn_map(["a"] * 10, range(10))
    second = work.spawn_map(["b"] * 10, range(10))
    assert list(first.iter()) == list(second.iter()) == [None] * 10
    for call in "ab":
        order = [int(line[1:]) for line in notes.lines if line[0] == call]
        assert order == list(range(10))
    assert notes.lines.index("b5") < notes.lines.index("a9")
