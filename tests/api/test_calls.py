"""remote, spawn and FunctionCall against real containers."""

from __future__ import annotations

import asyncio
import builtins
import os
import pickle
import threading
from typing import Any

import pytest

import modalnb
from modalnb.api import current
from modalnb.exception import (
    ExecutionError,
    InputCancelledError,
    InvalidError,
    NotFoundError,
    ResourceExhaustedError,
)


@pytest.fixture
def add(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=2)
    def add(x: int, y: int = 10) -> int:
        return x + y

    return add


@pytest.fixture
def gate(tmp_path: Any) -> Any:
    """A function that waits until the gate is opened, and the way to open it."""
    path = str(tmp_path / "gate")

    def wait(value: int) -> int:
        pause = threading.Event()
        while not os.path.exists(path):
            pause.wait(0.01)
        return value

    return wait, lambda: open(path, "w").close()


def test_remote_passes_arguments_and_returns_the_value(add: modalnb.Function) -> None:
    assert add.remote(1) == 11
    assert add.remote(1, y=2) == 3


def test_remote_aio_awaits(add: modalnb.Function) -> None:
    async def main() -> list[int]:
        return list(await asyncio.gather(*(add.remote.aio(i) for i in range(20))))

    assert asyncio.run(main()) == [i + 10 for i in range(20)]


def test_remote_of_an_async_function(app: modalnb.App) -> None:
    @app.function()
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert double.remote(4) == 8
    assert list(double.map(range(5))) == [0, 2, 4, 6, 8]


def test_remote_runs_in_another_process_on_its_main_thread(app: modalnb.App) -> None:
    @app.function()
    def where() -> tuple[int, bool]:
        return os.getpid(), threading.current_thread() is threading.main_thread()

    pid, is_main = where.remote()
    assert pid != os.getpid()
    assert is_main


def test_blocking_remote_in_a_coroutine_names_the_twin(add: modalnb.Function) -> None:
    async def main() -> None:
        add.remote(1)

    with pytest.raises(InvalidError, match=r"remote\.aio\(\.\.\.\)"):
        asyncio.run(main())


def test_function_is_not_callable(add: modalnb.Function) -> None:
    with pytest.raises(TypeError, match="'Function' object is not callable"):
        add(1)


def test_local_runs_here(add: modalnb.Function) -> None:
    assert add.local(1, 2) == 3


def test_local_on_a_handle_from_elsewhere_is_refused() -> None:
    with pytest.raises(ExecutionError, match="no local definition"):
        modalnb.Function.from_name("my-app", "f").local()


def test_spawn_returns_before_the_result_is_there(app: modalnb.App, gate: Any) -> None:
    wait, open_gate = gate
    call = app.function(name="wait")(wait).spawn(5)
    assert call.object_id.startswith("fc-")
    with pytest.raises(builtins.TimeoutError):
        call.get(timeout=0)
    with pytest.raises(builtins.TimeoutError):
        call.get(timeout=0.05)
    open_gate()
    assert call.get() == 5
    assert call.get(timeout=0) == 5
    assert call.num_inputs() == 1


def test_call_handle_survives_text_and_pickling(add: modalnb.Function) -> None:
    call = add.spawn(1)
    assert repr(call) == f"FunctionCall.from_id('{call.object_id}')"
    assert modalnb.FunctionCall.from_id(call.object_id).get() == 11
    assert pickle.loads(pickle.dumps(call)).get() == 11


def test_call_of_unknown_id_is_not_found(add: modalnb.Function) -> None:
    add.remote(1)
    unknown = modalnb.FunctionCall.from_id("fc-nothing")
    for use in (unknown.get, unknown.num_inputs, lambda: unknown.get(timeout=0)):
        with pytest.raises(NotFoundError, match="There is no call fc-nothing"):
            use()


def test_call_id_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidError, match="starts with 'fc-'"):
        modalnb.FunctionCall.from_id("ap-1")


def test_spawned_failure_is_raised_by_each_get(app: modalnb.App) -> None:
    @app.function()
    def fail() -> None:
        raise KeyError("gone")

    call = fail.spawn()
    for _ in range(2):
        with pytest.raises(KeyError, match="gone"):
            call.get()


def test_gather_keeps_order_and_may_return_exceptions(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    def invert(x: int) -> float:
        return 1 / x

    good = [invert.spawn(x) for x in (1, 2, 4)]
    assert modalnb.FunctionCall.gather(*good) == [1, 0.5, 0.25]
    assert modalnb.FunctionCall.gather() == []
    bad = invert.spawn(0)
    with pytest.raises(ZeroDivisionError):
        modalnb.FunctionCall.gather(*good, bad)
    mixed = modalnb.FunctionCall.gather(bad, good[0], return_exceptions=True)
    assert isinstance(mixed[0], ZeroDivisionError)
    assert mixed[1] == 1


def test_spawn_map_gives_one_call_of_many_inputs(add: modalnb.Function) -> None:
    call = add.spawn_map(range(1500))
    assert call.num_inputs() == 1500
    assert call.get(index=7) == 17
    assert list(call.iter(start=1490)) == [i + 10 for i in range(1490, 1500)]
    assert list(call.iter(start=2, end=4)) == [12, 13]
    with pytest.raises(ValueError, match=r"0\.\.1500"):
        call.iter(start=5, end=3)


def test_spawn_aio_and_get_aio(add: modalnb.Function) -> None:
    async def main() -> tuple[int, list[int], int]:
        call = await add.spawn.aio(1)
        many = await add.spawn_map.aio(range(3))
        return await call.get.aio(), [x async for x in many.iter.aio()], await many.num_inputs.aio()

    assert asyncio.run(main()) == (11, [10, 11, 12], 3)


def test_cancel_of_a_pending_call_drops_it(app: modalnb.App, gate: Any) -> None:
    wait, open_gate = gate
    function = app.function(name="wait", max_containers=1)(wait)
    first, second = function.spawn(1), function.spawn(2)
    second.cancel()
    with pytest.raises(InputCancelledError):
        second.get()
    open_gate()
    assert first.get() == 1
    first.cancel()
    assert first.get() == 1


def test_cancel_of_a_running_call_interrupts_it(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=1)
    def hang(seconds: float) -> None:
        threading.Event().wait(seconds)

    call = hang.spawn(600)
    wait_until(lambda: hang.snapshot().running == 1)
    call.cancel()
    with pytest.raises(InputCancelledError):
        call.get()
    pid = hang.snapshot().containers[0].pid
    assert hang.remote(0) is None
    assert hang.snapshot().containers[0].pid == pid


def test_cancel_replaces_a_container_that_does_not_let_go(
    app: modalnb.App, wait_until: Any
) -> None:
    @app.function(max_containers=1)
    def stubborn(rounds: int) -> None:
        for _ in range(rounds):
            try:
                threading.Event().wait(5)
            except BaseException:
                continue

    call = stubborn.spawn(1000)
    wait_until(lambda: stubborn.snapshot().running == 1)
    before = stubborn.snapshot().containers[0].pid
    call.cancel()
    assert stubborn.remote(0) is None
    assert stubborn.snapshot().containers[0].pid != before


def test_redefined_function_runs_new_code_in_the_warm_container(app: modalnb.App) -> None:
    def define(text: str) -> modalnb.Function:
        def version() -> tuple[str, int]:
            return text, os.getpid()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("modalnb.api.declaring.is_interactive", lambda: True)
            return app.function(max_containers=1)(version)

    old, pid = define("old").remote()
    new, same_pid = define("new").remote()
    assert (old, new) == ("old", "new")
    assert pid == same_pid


_helper_value = "old"


def test_changed_global_is_seen_by_the_next_call(app: modalnb.App) -> None:
    settings = {"rate": 1}

    @app.function(max_containers=1)
    def read() -> tuple[str, int]:
        return _helper_value, settings["rate"]

    assert read.remote() == ("old", 1)
    settings["rate"] = 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "_helper_value", "new")
        assert read.remote() == ("new", 2)


def test_nested_calls_run_in_other_containers(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def inner(x: int) -> int:
        return x + 1

    @app.function(max_containers=1)
    def outer(x: int) -> list[int]:
        return [inner.remote(x), *inner.map(range(3)), inner.spawn(x).get()]

    assert outer.remote(10) == [11, 1, 2, 3, 11]


def test_nested_calls_do_not_starve_the_callee(app: modalnb.App) -> None:
    """More outer inputs than the machine has room for: each still gets its inner call done."""

    @app.function()
    def inner(x: int) -> int:
        return x + 1

    @app.function()
    def outer(x: int) -> int:
        return int(inner.remote(x)) * 2

    assert list(outer.map(range(40))) == [2 * (i + 1) for i in range(40)]


def test_nested_call_from_an_async_function(app: modalnb.App) -> None:
    @app.function()
    def inner(x: int) -> int:
        return x + 1

    @app.function()
    async def outer(x: int) -> int:
        return int(await inner.remote.aio(x))

    assert outer.remote(1) == 2


def test_current_ids_are_known_in_a_container_only(app: modalnb.App) -> None:
    @app.function()
    def ids() -> tuple[Any, ...]:
        return (
            modalnb.current_function_call_id(),
            modalnb.current_input_id(),
            modalnb.is_local(),
        )

    assert modalnb.is_local()
    assert modalnb.current_input_id() is None
    assert modalnb.current_function_call_id() is None
    call = ids.spawn()
    call_id, input_id, is_local = call.get()
    assert call_id == call.object_id
    assert input_id == f"in-{call_id[3:]}-0"
    assert not is_local


def test_limit_of_pending_inputs_is_an_error_with_facts_and_the_recipe_works(
    app: modalnb.App, gate: Any, wait_until: Any
) -> None:
    """The documented recipe: try again with a growing delay. Nothing that was accepted is lost."""
    wait, open_gate = gate
    function = app.function(name="wait", max_containers=1)(wait)

    async def main() -> list[Any]:
        calls = [asyncio.ensure_future(function.remote.aio(i)) for i in range(2_002)]
        refused = asyncio.ensure_future(_first_failure(calls))
        error = await refused
        assert isinstance(error, ResourceExhaustedError)
        assert (error.limit, error.maximum) == ("pending inputs", 2_000)
        assert error.current == 2_000
        assert error.retryable
        assert error.function == "wait"
        assert "`wait` has 2,000 of at most 2,000 pending inputs" in str(error)
        open_gate()
        again = await _with_retries(function, -1)
        return [*await asyncio.gather(*calls, return_exceptions=True), again]

    *results, again = asyncio.run(main())
    assert again == -1
    accepted = [r for r in results if not isinstance(r, ResourceExhaustedError)]
    assert accepted == sorted(accepted)
    assert len(accepted) >= 2_000


async def _first_failure(calls: list[asyncio.Future[Any]]) -> BaseException | None:
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    return next(call.exception() for call in done if call.exception())


async def _with_retries(function: modalnb.Function, x: int) -> Any:
    delay = 0.1
    while True:
        try:
            return await function.remote.aio(x)
        except ResourceExhaustedError:
            await asyncio.sleep(delay)
            delay = min(2 * delay, 15)


def test_max_throttle_wait_waits_instead_of_raising(app: modalnb.App, gate: Any) -> None:
    wait, open_gate = gate
    function = app.function(name="wait", max_containers=1)(wait)
    results = function.map(range(1_000))
    others = [function.map(range(1_000)), function.map(range(1_000))]
    threads = [threading.Thread(target=lambda r=r: list(r)) for r in [results, *others]]
    for thread in threads:
        thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modalnb.config._values, "max_throttle_wait", 60.0)
        opener = threading.Timer(0.5, open_gate)
        opener.start()
        assert function.remote(3) == 3
    for thread in threads:
        thread.join()


def test_calls_after_the_app_was_stopped_register_it_again(add: modalnb.Function) -> None:
    assert add.remote(1) == 11
    add.app.stop()
    assert add.remote(2) == 12


def test_forked_child_does_not_use_the_parents_session(add: modalnb.Function) -> None:
    add.remote(1)
    session = current.session()
    assert session.is_open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_pid", -1)
        assert not session.is_open


def test_outputs_of_a_large_call_are_fetched_many_at_a_time(app: modalnb.App) -> None:
    """One question for each would take its round trip, and its place among the questions."""

    @app.function(max_containers=1)
    def double(x: int) -> int:
        return 2 * x

    call = double.spawn_map(range(1_000))
    assert list(call.iter(start=1, end=999)) == [2 * x for x in range(1, 999)]
    assert list(call.iter()) == [2 * x for x in range(1_000)]


def test_failure_in_a_large_call_is_raised_in_its_place(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def invert(x: int) -> float:
        return 1 / x

    values = invert.spawn_map([4, 2, 0, 1]).iter()
    assert [next(values), next(values)] == [0.25, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(values)
