"""Calls from inside of containers: who called whom, and that nothing waits for ever."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import modalnb
from modalnb.api.call_graph import InputStatus
from modalnb.exception import ExecutionError, FunctionTimeoutError


def shape(infos: Any) -> list[Any]:
    """Names and children of a call graph."""
    return [(info.function_name, shape(info.children)) for info in infos]


# -- who called whom -----------------------------------------------------------------------


def test_graph_shows_nested_calls_of_every_kind(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def leaf(x: int) -> int:
        return x

    @app.function(max_containers=1)
    def middle(x: int) -> int:
        return sum(leaf.map([x, x]))

    @app.function(max_containers=1)
    def root() -> int:
        return int(middle.remote(1)) + int(leaf.spawn(2).get())

    call = root.spawn()
    assert call.get() == 4
    [info] = call.get_call_graph()
    assert shape([info]) == [("root", [("middle", [("leaf", []), ("leaf", [])]), ("leaf", [])])]
    assert info.function_call_id == call.object_id
    assert info.input_id == f"in-{call.object_id[3:]}-0"
    assert info.task_id == root.snapshot().containers[0].container_id
    assert info.module_name == __name__
    assert info.status is InputStatus.SUCCESS
    middle_info, leaf_info = info.children
    assert middle_info.function_call_id != leaf_info.function_call_id
    first, second = middle_info.children
    assert first.function_call_id == second.function_call_id
    assert [first.input_id[-2:], second.input_id[-2:]] == ["-0", "-1"]


def test_graph_of_many_inputs_has_a_root_for_each(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def leaf(x: int) -> int:
        return x

    @app.function(max_containers=1)
    def root(x: int) -> None:
        if x:
            leaf.remote(x)

    call = root.spawn_map(range(2))
    assert list(call.iter()) == [None, None]
    assert shape(call.get_call_graph()) == [("root", []), ("root", [("leaf", [])])]


def test_statuses_are_modals(app: modalnb.App, signal: Any, wait_until: Any) -> None:
    @app.function(max_containers=2, timeout=0.5)
    def work(x: int) -> None:
        if x == 1:
            raise ValueError(x)
        if x == 2:
            time.sleep(60)

    call = work.spawn_map(range(3))
    wait_until(lambda: call.status()["done"] == 3)
    statuses = [info.status for info in call.get_call_graph()]
    assert statuses == [InputStatus.SUCCESS, InputStatus.FAILURE, InputStatus.TIMEOUT]
    assert [int(status) for status in InputStatus] == [0, 1, 2, 3, 4, 5]


def test_pending_and_terminated_inputs_are_told(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work() -> None:
        gate.wait()

    running, pending = work.spawn(), work.spawn()
    wait_until(lambda: work.snapshot().running == 1)
    for call in (running, pending):
        [info] = call.get_call_graph()
        assert info.status is InputStatus.PENDING
    assert pending.get_call_graph()[0].task_id == ""
    pending.cancel()
    assert pending.get_call_graph()[0].status is InputStatus.TERMINATED
    gate.set()
    running.get()


def test_graph_is_known_under_concurrency(app: modalnb.App) -> None:
    """Each call belongs to the task that made it, not to a neighbour."""

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=100)
    async def leaf(x: int) -> int:
        return x

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4)
    async def root(x: int) -> None:
        await asyncio.gather(*(leaf.remote.aio(n) for n in range(x)))

    call = root.spawn_map(range(4))
    assert list(call.iter()) == [None] * 4
    assert shape(call.get_call_graph()) == [("root", [("leaf", [])] * n) for n in range(4)]


def test_graph_knows_calls_of_threads_that_an_input_starts(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def leaf(x: int) -> int:
        return x

    @app.function(max_containers=1)
    def root() -> list[int]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(leaf.remote, range(2)))

    call = root.spawn()
    assert call.get() == [0, 1]
    assert shape(call.get_call_graph()) == [("root", [("leaf", []), ("leaf", [])])]


def test_graph_from_inside_and_from_elsewhere(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def leaf() -> None: ...

    @app.function(max_containers=1)
    def root() -> Any:
        leaf.remote()
        own = modalnb.FunctionCall.from_id(str(modalnb.current_function_call_id()))
        return shape(own.get_call_graph())

    assert root.remote() == [("root", [("leaf", [])])]

    async def main() -> Any:
        call = await root.spawn.aio()
        await call.get.aio()
        return shape(await call.get_call_graph.aio())

    assert asyncio.run(main()) == [("root", [("leaf", [])])]


# -- no deadlock ---------------------------------------------------------------------------


def test_chain_of_functions_with_one_container_each_ends(app: modalnb.App) -> None:
    """Deeper than the machine has cores: containers that only wait take no room from others."""

    @app.function(max_containers=1)
    def last(x: int) -> int:
        return x + 1

    callee = last
    for depth in range(6):
        callee = _caller(app, callee, f"level{depth}")
    assert list(callee.map(range(3))) == [x + 7 for x in range(3)]


def _caller(app: modalnb.App, callee: modalnb.Function, name: str) -> modalnb.Function:
    @app.function(max_containers=1, name=name)
    def call(x: int) -> int:
        return int(callee.remote(x)) + 1

    return call


def test_recursion_ends_while_containers_can_be_had(app: modalnb.App) -> None:
    @app.function()
    def factorial(n: int) -> int:
        return n * int(factorial.remote(n - 1)) if n else 1

    assert factorial.remote(4) == 24


def test_recursion_through_spawned_calls_ends_too(app: modalnb.App) -> None:
    """Whoever waits in ``get`` takes no room from others either."""

    @app.function()
    def factorial(n: int) -> int:
        return n * int(factorial.spawn(n - 1).get()) if n else 1

    assert factorial.remote(6) == 720


def test_recursion_ends_in_the_slots_of_one_container(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=50)
    async def fibonacci(n: int) -> int:
        if n < 2:
            return n
        return sum(await asyncio.gather(*(fibonacci.remote.aio(n - d) for d in (1, 2))))

    assert fibonacci.remote(6) == 8


@pytest.mark.parametrize("kind", ["map", "remote_in_a_thread"])
def test_function_that_waits_for_itself_is_an_error_that_says_so(
    app: modalnb.App, kind: str
) -> None:
    @app.function(max_containers=1)
    def work(depth: int) -> Any:
        if not depth:
            return 0
        if kind == "map":
            return list(work.map([depth - 1] * 3))
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work.remote, depth - 1).result()

    with pytest.raises(ExecutionError, match=r"`work` waits for itself.*max_containers"):
        work.remote(1)
    assert work.remote(0) == 0


def test_method_that_waits_for_one_of_its_own_instance_is_an_error_that_says_so(
    app: modalnb.App,
) -> None:
    """The methods of an instance share its containers."""

    @app.cls(max_containers=1)
    class Model:
        @modalnb.method()
        def outer(self) -> int:
            return int(Model().inner.remote())

        @modalnb.method()
        def inner(self) -> int:
            return 1

    with pytest.raises(ExecutionError, match="waits for itself"):
        Model().outer.remote()
    assert Model().inner.remote() == 1


def test_functions_that_wait_for_each_other_are_an_error_that_says_so(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def ping(depth: int) -> int:
        return int(pong.remote(depth - 1)) if depth else 0

    @app.function(max_containers=1)
    def pong(depth: int) -> int:
        return int(ping.remote(depth - 1)) if depth else 0

    with pytest.raises(ExecutionError, match="waits for itself"):
        ping.remote(5)
    assert ping.remote(1) == 0


def test_function_that_waits_for_what_it_spawned_is_an_error_too(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work(depth: int) -> int:
        return int(work.spawn(depth - 1).get()) if depth else 0

    with pytest.raises(ExecutionError, match="waits for itself"):
        work.remote(1)


def test_input_that_may_fail_to_wait_can_catch_the_error(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work(depth: int) -> str:
        if not depth:
            return "leaf"
        try:
            return str(work.remote(depth - 1))
        except ExecutionError:
            return str(work.local(depth - 1))

    assert work.remote(1) == "leaf"


def test_slow_callee_is_no_stall(app: modalnb.App) -> None:
    """Longer than any check takes: as long as something executes, it is waited for."""

    @app.function(max_containers=1)
    def slow(x: int) -> int:
        time.sleep(2.5 if x == 0 else 0)
        return x

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=3)
    def caller(x: int) -> int:
        return int(slow.remote(x))

    assert list(caller.map(range(3))) == [0, 1, 2]


def test_wait_for_a_spawned_call_of_somebody_else_is_no_stall(
    app: modalnb.App, signal: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1, timeout=30)
    def slow() -> int:
        gate.wait()
        return 1

    @app.function(max_containers=1)
    def waiter(call: modalnb.FunctionCall) -> int:
        return int(call.get())

    call = slow.spawn()
    result = waiter.spawn(call)
    with pytest.raises(TimeoutError):
        result.get(timeout=2.5)
    gate.set()
    assert result.get() == 1


def test_timeout_holds_for_who_waits(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def slow() -> None:
        time.sleep(60)

    @app.function(max_containers=1, timeout=0.5)
    def caller() -> None:
        slow.remote()

    with pytest.raises(FunctionTimeoutError, match="`caller` ran longer"):
        caller.remote()
