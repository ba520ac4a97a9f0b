"""What user code sees when its input is cancelled, and what becomes of everybody else."""

from __future__ import annotations

import asyncio
import os
import signal as signals
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import modalnb
from modalnb.exception import InputCancelledError, InvalidError, RemoteError


def cancelled(call: modalnb.FunctionCall) -> InputCancelledError:
    """Cancel a call; what its ``get`` raises then, at once."""
    call.cancel()
    with pytest.raises(InputCancelledError) as caught:
        call.get(timeout=3)
    return caught.value


# -- what user code sees -------------------------------------------------------------------


def test_plain_code_gets_an_input_cancellation(app: modalnb.App, notes: Any, signal: Any) -> None:
    """A BaseException raised where the code is; its container goes on with the next input."""
    started, cleaned = signal("started"), signal("cleaned")

    @app.function(max_containers=1)
    def work(hangs: bool) -> int:
        try:
            if hangs:
                started.set()
                time.sleep(60)
        except Exception:
            notes.add("an Exception")
        except modalnb.exception.InputCancellation:
            notes.add("an InputCancellation")
            raise
        finally:
            if hangs:
                cleaned.set()
        return os.getpid()

    pid = work.remote(False)
    call = work.spawn(True)
    started.wait()
    error = cancelled(call)
    assert isinstance(error, RemoteError)
    assert "An input of `work` was cancelled" in str(error)
    cleaned.wait()
    assert notes.lines == ["an InputCancellation"]
    assert work.remote(False) == pid


def test_plain_code_in_pure_python_is_interrupted_too(app: modalnb.App, signal: Any) -> None:
    started, ended = signal("started"), signal("ended")

    @app.function(max_containers=1)
    def spin() -> None:
        started.set()
        try:
            while True:
                pass
        finally:
            ended.set()

    call = spin.spawn()
    started.wait()
    cancelled(call)
    ended.wait()


def test_coroutine_gets_a_cancelled_error(app: modalnb.App, notes: Any, signal: Any) -> None:
    started, cleaned = signal("started"), signal("cleaned")

    @app.function(max_containers=1)
    async def work(hangs: bool) -> int:
        try:
            if hangs:
                started.set()
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            notes.add("a CancelledError")
            raise
        finally:
            if hangs:
                cleaned.set()
        return os.getpid()

    pid = work.remote(False)
    call = work.spawn(True)
    started.wait()
    cancelled(call)
    cleaned.wait()
    assert notes.lines == ["a CancelledError"]
    assert work.remote(False) == pid


def test_task_among_others_is_cancelled_alone(app: modalnb.App, notes: Any, signal: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=3)
    async def work(x: int) -> tuple[int, int]:
        notes.add("started")
        try:
            await gate.wait_async()
        except asyncio.CancelledError:
            notes.add(f"{x} was cancelled")
            raise
        return x, os.getpid()

    calls = [work.spawn(x) for x in range(3)]
    notes.wait(3)
    cancelled(calls[1])
    notes.wait(4)
    gate.set()
    pid = work.snapshot().containers[0].pid
    assert modalnb.FunctionCall.gather(calls[0], calls[2]) == [(0, pid), (2, pid)]
    assert notes.lines[3:] == ["1 was cancelled"]


def test_thread_among_others_takes_its_container_along_and_the_others_run_again(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    """Uncounted: without any retries the others succeed, and it is not told as a loss."""
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=3)
    def work(x: int) -> tuple[int, int]:
        notes.add(f"{x} started")
        gate.wait()
        return x, os.getpid()

    calls = [work.spawn(x) for x in range(3)]
    notes.wait(3)
    before = work.snapshot().containers[0].pid
    cancelled(calls[1])
    notes.wait(5)
    gate.set()
    (first, pid), (last, same_pid) = modalnb.FunctionCall.gather(calls[0], calls[2])
    assert (first, last) == (0, 2)
    assert pid == same_pid != before
    assert sorted(notes.lines[3:]) == ["0 started", "2 started"]
    seen = work.snapshot()
    assert (seen.done, seen.failed) == (2, 0), "the cancelled one is neither"


def test_value_of_code_that_swallows_its_cancellation_is_not_delivered(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    started = signal("started")

    @app.function(max_containers=1)
    def work() -> str:
        started.set()
        try:
            time.sleep(60)
        except BaseException:
            pass
        return "swallowed"

    call = work.spawn()
    started.wait()
    cancelled(call)
    wait_until(lambda: work.snapshot().count("idle") == 1)
    with pytest.raises(InputCancelledError):
        call.get()


def test_cancelled_error_of_user_code_is_not_taken_for_one_of_the_caller(
    app: modalnb.App,
) -> None:
    @app.function(max_containers=1)
    async def work() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    with pytest.raises(InputCancelledError):
        work.remote()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work.remote.aio())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [type(error) for error in caught.value.exceptions] == [InputCancelledError]


# -- FunctionCall.cancel -------------------------------------------------------------------


def test_pending_inputs_vanish_at_once(app: modalnb.App, signal: Any, notes: Any) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work(x: int) -> int:
        notes.add(x)
        gate.wait()
        return x

    first = work.spawn(-1)
    many = work.spawn_map(range(1000))
    assert work.snapshot().demand == 1001
    cancelled(many)
    assert work.snapshot().demand == 1
    with pytest.raises(InputCancelledError):
        many.get(index=999)
    gate.set()
    assert first.get() == -1
    assert notes.lines == ["-1"]


def test_cancel_of_a_finished_call_changes_nothing(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work() -> int:
        return os.getpid()

    call = work.spawn()
    pid = call.get()
    for kill in (False, True):
        call.cancel(terminate_containers=kill)
    assert call.get() == pid
    assert work.remote() == pid


def test_cancel_keeps_results_that_are_there(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    def work(x: int) -> int:
        if x > 2:
            gate.wait()
        return x

    call = work.spawn_map(range(10))
    wait_until(lambda: call.status()["done"] == 3)
    call.cancel()
    assert list(call.iter(end=3)) == [0, 1, 2]
    with pytest.raises(InputCancelledError):
        call.get(index=3)


def test_terminate_containers_ends_them_and_others_in_them_run_again(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=2)
    async def work(x: int) -> tuple[int, int]:
        notes.add(x)
        await gate.wait_async()
        return x, os.getpid()

    calls = [work.spawn(x) for x in range(2)]
    notes.wait(2)
    before = work.snapshot().containers[0].pid
    calls[0].cancel(terminate_containers=True)
    with pytest.raises(InputCancelledError):
        calls[0].get()
    notes.wait(3)
    gate.set()
    x, pid = calls[1].get()
    assert x == 1
    assert pid != before


def test_terminate_containers_leaves_containers_of_others_alone(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=2)
    def work(x: int) -> int:
        notes.add(x)
        gate.wait()
        return x

    calls = [work.spawn(x) for x in range(2)]
    notes.wait(2)
    calls[0].cancel(terminate_containers=True)
    gate.set()
    assert calls[1].get() == 1
    assert sorted(notes.lines) == ["0", "1"]


def test_terminate_containers_must_be_a_bool() -> None:
    with pytest.raises(InvalidError, match="`terminate_containers` must be a bool; got 1"):
        modalnb.FunctionCall.from_id("fc-1").cancel(terminate_containers=1)


def test_cancel_aio_cancels_too(app: modalnb.App, signal: Any) -> None:
    started = signal("started")

    @app.function(max_containers=1)
    def work() -> None:
        started.set()
        time.sleep(60)

    async def main() -> None:
        call = await work.spawn.aio()
        await asyncio.to_thread(started.wait)
        await call.cancel.aio()
        with pytest.raises(InputCancelledError):
            await call.get.aio(timeout=3)

    asyncio.run(main())


# -- callers that leave --------------------------------------------------------------------


@pytest.fixture
def hang(app: modalnb.App, signal: Any) -> tuple[modalnb.Function, Any, Any]:
    """Hangs from a signal on; sets another one when it is made to stop."""
    started, ended = signal("started"), signal("ended")

    @app.function(max_containers=1)
    def hang(x: int) -> None:
        started.set()
        try:
            time.sleep(60)
        finally:
            ended.set()

    return hang, started, ended


def test_closed_map_cancels_what_runs_and_what_waits(hang: Any, wait_until: Any) -> None:
    function, started, ended = hang
    results = function.map(range(50), return_exceptions=True)
    thread = threading.Thread(target=lambda: next(results, None))
    thread.start()
    started.wait()
    results.close()
    ended.wait()
    thread.join()
    wait_until(lambda: function.snapshot().demand == 0)
    assert list(results) == []


def test_failed_map_cancels_what_runs_and_what_waits(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    started, ended = signal("started"), signal("ended")

    @app.function(max_containers=2)
    def work(x: int) -> None:
        if x == 1:
            started.wait()
            raise ValueError(x)
        started.set()
        try:
            time.sleep(60)
        finally:
            ended.set()

    with pytest.raises(ValueError, match="1"):
        list(work.map(range(100)))
    ended.wait()
    wait_until(lambda: work.snapshot().demand == 0)


def test_ctrl_c_in_remote_cancels_its_input(hang: Any, wait_until: Any) -> None:
    function, started, ended = hang

    def interrupt() -> None:
        started.wait()
        os.kill(os.getpid(), signals.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        function.remote(1)
    thread.join()
    ended.wait()
    wait_until(lambda: function.snapshot().demand == 0)


def test_ctrl_c_in_a_map_cancels_all_of_it(hang: Any, wait_until: Any) -> None:
    function, started, ended = hang

    def interrupt() -> None:
        started.wait()
        os.kill(os.getpid(), signals.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        function.for_each(range(100))
    thread.join()
    ended.wait()
    wait_until(lambda: function.snapshot().demand == 0)


def test_ctrl_c_in_a_stream_cancels_its_producer(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    ended = signal("ended")

    @app.function(max_containers=1)
    def produce() -> Iterator[int]:
        try:
            yield 1
            time.sleep(60)
        finally:
            ended.set()

    elements = produce.remote_gen()
    assert next(elements) == 1
    threading.Timer(0.1, os.kill, [os.getpid(), signals.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        next(elements)
    ended.wait()
    wait_until(lambda: produce.snapshot().demand == 0)
    assert list(elements) == []


def test_ctrl_c_in_get_leaves_the_spawned_input_running(app: modalnb.App, signal: Any) -> None:
    """What was spawned is there for whoever asks, so nobody who stops waiting ends it."""
    started, gate = signal("started"), signal("gate")

    @app.function(max_containers=1)
    def work() -> str:
        started.set()
        gate.wait()
        return "done"

    def interrupt() -> None:
        started.wait()
        os.kill(os.getpid(), signals.SIGINT)

    call = work.spawn()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call.get()
    thread.join()
    gate.set()
    assert call.get() == "done"


def test_cancelled_await_cancels_its_input(hang: Any, wait_until: Any) -> None:
    function, started, ended = hang

    async def main() -> None:
        task = asyncio.create_task(function.remote.aio(1))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    ended.wait()
    wait_until(lambda: function.snapshot().demand == 0)


def test_timed_out_await_cancels_its_input(hang: Any) -> None:
    function, started, ended = hang

    async def main() -> None:
        begun = asyncio.get_running_loop().run_in_executor(None, started.wait)
        async with asyncio.timeout(60) as limit:
            begun.add_done_callback(lambda _: limit.reschedule(0))
            await function.remote.aio(1)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    ended.wait()


def test_cancelled_input_takes_the_calls_that_it_waits_for_along(
    app: modalnb.App, hang: Any, wait_until: Any
) -> None:
    inner, started, ended = hang

    @app.function(max_containers=1)
    def outer() -> None:
        inner.remote(1)

    call = outer.spawn()
    started.wait()
    cancelled(call)
    ended.wait()
    wait_until(lambda: inner.snapshot().demand == 0)
