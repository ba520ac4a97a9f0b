"""``@concurrent``: containers that take several inputs at once."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError

Ids = tuple[str | None, str | None]


def ids() -> Ids:
    return modalnb.current_function_call_id(), modalnb.current_input_id()


@functools.cache
def barrier(parties: int) -> threading.Barrier:
    """One of a container: it opens when so many inputs run at once."""
    return threading.Barrier(parties, timeout=30)


@functools.cache
def async_barrier(parties: int) -> asyncio.Barrier:
    return asyncio.Barrier(parties)


# -- the decorator -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_inputs": 0}, "`max_inputs` must be at least 1; got 0"),
        ({"max_inputs": 2.5}, "`max_inputs` must be an int; got 2.5"),
        ({"max_inputs": True}, "`max_inputs` must be an int; got True"),
        ({"max_inputs": 2, "target_inputs": 3}, r"`target_inputs` \(3\) cannot be greater than"),
        ({"max_inputs": 2, "target_inputs": -1}, "`target_inputs` must be at least 0; got -1"),
        ({"max_inputs": 2, "target_inputs": 1.5}, "`target_inputs` must be an int; got 1.5"),
    ],
)
def test_values_out_of_range_are_refused_at_decoration(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        modalnb.concurrent(**values)


def test_missing_max_inputs_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="max_inputs"):
        modalnb.concurrent()  # type: ignore[call-arg]


def test_target_of_zero_is_unset() -> None:
    @modalnb.App().function()
    @modalnb.concurrent(max_inputs=4, target_inputs=0)
    def work() -> None: ...

    assert (work._settings.target_inputs, work._settings.max_inputs) == (4, 4)


def test_on_top_of_the_function_is_refused() -> None:
    with pytest.raises(InvalidError, match="Swap the order"):

        @modalnb.concurrent(max_inputs=2)
        @modalnb.App().function()
        def work() -> None: ...


def test_on_a_method_is_refused() -> None:
    with pytest.raises(InvalidError, match="Decorate the class instead"):

        class Model:
            @modalnb.concurrent(max_inputs=2)
            def work(self) -> None: ...


def test_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match="twice"):

        @modalnb.concurrent(max_inputs=2)
        @modalnb.concurrent(max_inputs=3)
        def work() -> None: ...


# -- where inputs run ----------------------------------------------------------------------


def test_plain_functions_run_on_threads_beside_the_main_one(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4)
    def where(_: int) -> tuple[int, int, bool]:
        barrier(4).wait()
        main = threading.current_thread() is threading.main_thread()
        return os.getpid(), threading.get_ident(), main

    places = list(where.map(range(4)))
    assert len({pid for pid, _, _ in places}) == 1
    assert len({thread for _, thread, _ in places}) == 4
    assert not any(main for _, _, main in places)


def test_coroutines_run_as_tasks_of_one_loop(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4)
    async def where(_: int) -> tuple[int, int, int, int]:
        await async_barrier(4).wait()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        return os.getpid(), threading.get_ident(), id(loop), id(task)

    places = list(where.map(range(4)))
    assert len({place[:3] for place in places}) == 1
    assert len({task for *_, task in places}) == 4


def test_thousand_coroutines_wait_at_once_in_one_container(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=1000)
    async def meet(x: int) -> tuple[int, int]:
        await async_barrier(1000).wait()
        return x, os.getpid()

    results = list(meet.map(range(1000)))
    assert [x for x, _ in results] == list(range(1000))
    assert len({pid for _, pid in results}) == 1


def test_threads_beside_each_other_up_to_the_maximum(app: modalnb.App) -> None:
    """The slots are all there is: with a hundred, the hundredth input still runs at once."""

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=100)
    def meet(x: int) -> int:
        barrier(100).wait()
        return x

    assert list(meet.map(range(200))) == list(range(200))


# -- who am I ------------------------------------------------------------------------------


def test_current_ids_are_right_in_every_thread(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=8)
    def who(_: int) -> tuple[Ids, Ids]:
        before = ids()
        barrier(8).wait()
        return before, ids()

    calls = [who.spawn_map(range(16)) for _ in range(2)]
    for call in calls:
        for index, seen in enumerate(call.iter()):
            own = (call.object_id, f"in-{call.object_id[3:]}-{index}")
            assert seen == (own, own)


def test_current_ids_are_right_in_every_task(app: modalnb.App) -> None:
    """Also in tasks that the input makes, and in threads that it awaits."""

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=8)
    async def who(_: int) -> set[Ids]:
        async def child() -> Ids:
            await async_barrier(16).wait()
            return ids()

        seen = {ids(), *await asyncio.gather(child(), child())}
        return seen | {await asyncio.to_thread(ids), ids()}

    calls = [who.spawn_map(range(8)) for _ in range(2)]
    for call in calls:
        for index, seen in enumerate(call.iter()):
            assert seen == {(call.object_id, f"in-{call.object_id[3:]}-{index}")}


@functools.cache
def shared_pool() -> ThreadPoolExecutor:
    """One of a container, whose threads work now for this input and now for that one."""
    return ThreadPoolExecutor(4)


def test_current_ids_are_right_in_threads_that_an_input_starts(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=8)
    def who(_: int) -> set[Ids]:
        barrier(8).wait()
        seen = [shared_pool().submit(ids).result() for _ in range(4)]
        threads = [threading.Thread(target=lambda: seen.append(ids())) for _ in range(2)]
        threads.append(threading.Timer(0, lambda: seen.append(ids())))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 7
        return {*seen, ids()}

    call = who.spawn_map(range(32))
    for index, seen in enumerate(call.iter()):
        assert seen == {(call.object_id, f"in-{call.object_id[3:]}-{index}")}


def test_current_ids_are_right_in_threads_that_a_task_starts(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=8)
    async def who(_: int) -> set[Ids]:
        await async_barrier(8).wait()
        loop = asyncio.get_running_loop()
        return {await loop.run_in_executor(None, ids) for _ in range(4)}

    call = who.spawn_map(range(32))
    for index, seen in enumerate(call.iter()):
        assert seen == {(call.object_id, f"in-{call.object_id[3:]}-{index}")}


def test_prints_of_each_thread_go_to_its_own_caller(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4)
    def speak(x: int) -> None:
        barrier(4).wait()
        print("half", end=" ")
        barrier(4).wait()
        print(f"line of {x}")

    assert list(speak.map(range(4))) == [None] * 4
    out = capsys.readouterr().out
    assert sorted(out.replace("half ", "").split("\n"))[1:] == [f"line of {n}" for n in range(4)]
    assert out.count("half ") == 4


def test_prints_of_a_thread_that_outlives_its_input_are_heard(
    app: modalnb.App, capsys: pytest.CaptureFixture[str], wait_until: Any
) -> None:
    @app.function(max_containers=1)
    def leave() -> None:
        threading.Timer(0.2, print, ["late words"]).start()

    leave.remote()
    heard: list[str] = []

    def hear() -> bool:
        heard.append(capsys.readouterr().out)
        return "late words\n" in "".join(heard)

    wait_until(hear)


# -- independence --------------------------------------------------------------------------


def test_failure_of_one_input_leaves_the_other_threads_alone(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=3)
    def work(x: int) -> int:
        barrier(3).wait()
        if x == 1:
            raise ValueError(x)
        barrier(2).wait()
        return os.getpid()

    first, failed, last = work.map(range(3), return_exceptions=True)
    assert isinstance(failed, ValueError)
    assert first == last == work.snapshot().containers[0].pid


def test_failure_of_one_input_leaves_the_other_tasks_alone(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=3)
    async def work(x: int) -> int:
        await async_barrier(3).wait()
        if x == 1:
            raise ValueError(x)
        await async_barrier(2).wait()
        return os.getpid()

    first, failed, last = work.map(range(3), return_exceptions=True)
    assert isinstance(failed, ValueError)
    assert first == last == work.snapshot().containers[0].pid


# -- the autoscaler ------------------------------------------------------------------------


def test_autoscaler_plans_for_the_target(app: modalnb.App, signal: Any, wait_until: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=4)
    @modalnb.concurrent(max_inputs=4, target_inputs=2)
    def work(x: int) -> int:
        gate.wait()
        return x

    call = work.spawn_map(range(6))
    wait_until(lambda: work.snapshot().count("busy", "idle") == 3)
    assert "at 2 per container = 3" in work.snapshot().reason
    gate.set()
    assert list(call.iter()) == list(range(6))


def test_containers_fill_to_the_maximum_when_load_outruns_scaling(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4, target_inputs=1)
    def work(x: int) -> int:
        gate.wait()
        return x

    call = work.spawn_map(range(6))
    wait_until(lambda: work.snapshot().running == 4)
    snapshot = work.snapshot()
    assert (snapshot.pending, len(snapshot.containers)) == (2, 1)
    assert snapshot.headroom == 0
    gate.set()
    assert list(call.iter()) == list(range(6))


def test_without_the_decorator_one_input_runs_at_a_time(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1)
    async def work(x: int) -> None:
        notes.add(f"begin {x}")
        await asyncio.sleep(0.01)
        notes.add(f"end {x}")

    work.for_each(range(4))
    assert notes.lines == [f"{what} {x}" for x in range(4) for what in ("begin", "end")]
