"""``timeout=``: seconds for each attempt, whatever its code does."""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import Any

import pytest

import modalnb
from modalnb.exception import FunctionTimeoutError, InputCancellation, InvalidError

#: Takes longer than the universe to fail, in one call of C that never lets go of the interpreter.
CATASTROPHE = r"(a+)+$"


def test_error_says_the_function_and_its_timeout(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.3)
    def hang() -> None:
        time.sleep(60)

    with pytest.raises(FunctionTimeoutError) as caught:
        hang.remote()
    assert str(caught.value).startswith("`hang` ran longer than its timeout of 0.3 s.")
    assert (caught.value.function, caught.value.timeout) == ("hang", 0.3)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, modalnb.exception.TimeoutError)


def test_timeout_holds_in_calls_of_every_kind(app: modalnb.App) -> None:
    @app.function(max_containers=2, timeout=0.3)
    def hang(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    ok, late = hang.map([0, 60], return_exceptions=True)
    assert ok == 0
    assert isinstance(late, FunctionTimeoutError)
    for call in (hang.spawn(60), hang.spawn_map([60])):
        with pytest.raises(FunctionTimeoutError):
            call.get()


def test_time_in_the_queue_does_not_count(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.5)
    def work(x: int) -> int:
        time.sleep(0.2)
        return x

    assert list(work.map(range(6))) == list(range(6))


class SlowToLoad:
    """Stands for imports that take long."""

    def __reduce__(self) -> Any:
        return time.sleep, (2.6,)


def test_imports_do_not_count(app: modalnb.App) -> None:
    """Not even when they take longer than the timeout, and whatever looks after it."""
    imports = SlowToLoad()

    def work(seconds: float) -> Any:
        time.sleep(seconds)
        return imports

    one = app.function(max_containers=1, timeout=0.3, name="one")(work)
    some = one.with_concurrency(max_inputs=2)
    assert modalnb.FunctionCall.gather(one.spawn(0), some.spawn(0)) == [None, None]
    for function in (one, some):
        with pytest.raises(FunctionTimeoutError):
            function.remote(60)


def test_plain_code_gets_a_cancellation_that_except_exception_does_not_swallow(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    cleaned = signal("cleaned")

    @app.function(max_containers=1, timeout=0.3)
    def hang() -> int:
        try:
            while True:
                try:
                    time.sleep(60)
                except Exception as error:
                    notes.add(error)
        except BaseException as error:
            notes.add(type(error).__name__)
            raise
        finally:
            cleaned.set()

    with pytest.raises(FunctionTimeoutError):
        hang.remote()
    cleaned.wait()
    assert notes.lines == [InputCancellation.__name__]


def test_coroutine_gets_cancelled(app: modalnb.App, notes: Any, signal: Any) -> None:
    cleaned = signal("cleaned")

    @app.function(max_containers=1, timeout=0.3)
    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            notes.add(type(error).__name__)
            raise
        finally:
            cleaned.set()

    with pytest.raises(FunctionTimeoutError):
        hang.remote()
    cleaned.wait()
    assert notes.lines == ["CancelledError"]


def test_code_that_lets_go_keeps_its_container(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.3)
    def work(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    pid = work.remote(0)
    with pytest.raises(FunctionTimeoutError):
        work.remote(60)
    assert work.remote(0) == pid


def test_value_after_the_deadline_is_no_success(app: modalnb.App) -> None:
    """Code that swallows the cancellation and returns is late all the same."""

    @app.function(max_containers=1, timeout=0.3)
    def work() -> str:
        try:
            time.sleep(60)
        except BaseException:
            pass
        return "late"

    with pytest.raises(FunctionTimeoutError):
        work.remote()


def test_code_that_swallows_and_goes_on_loses_its_container(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.3)
    def stubborn(rounds: int) -> int:
        for _ in range(rounds):
            try:
                time.sleep(60)
            except BaseException:
                pass
        return os.getpid()

    pid = stubborn.remote(0)
    began = time.monotonic()
    with pytest.raises(FunctionTimeoutError):
        stubborn.remote(1000)
    assert time.monotonic() - began < 3
    assert stubborn.remote(0) != pid


def test_c_code_that_holds_the_interpreter_is_killed(app: modalnb.App) -> None:
    """Its siblings run again, as ``tests/faults`` shows."""

    @app.function(max_containers=1, timeout=0.3)
    def search(length: int) -> int:
        re.match(CATASTROPHE, "a" * length + "b")
        return os.getpid()

    pid = search.remote(3)
    began = time.monotonic()
    with pytest.raises(FunctionTimeoutError, match=r"timeout of 0\.3 s"):
        search.remote(100)
    assert time.monotonic() - began < 8
    assert search.remote(3) != pid


def test_threads_are_stopped_with_their_container_and_the_others_run_again_uncounted(
    app: modalnb.App, notes: Any, wait_until: Any
) -> None:
    """The innocent one has no retries, so it succeeds only if its loss is not counted."""

    @app.function(max_containers=1, timeout=2)
    @modalnb.concurrent(max_inputs=2)
    def work(hangs: bool) -> None:
        if hangs:
            notes.add("late")
        if hangs or notes.add("sibling") == 2:
            time.sleep(60)

    late = work.spawn(True)
    notes.wait(1)
    time.sleep(1.2)
    sibling = work.spawn(False)
    with pytest.raises(FunctionTimeoutError):
        late.get()
    assert sibling.get() is None
    assert notes.lines == ["late", "sibling", "sibling"]


def test_task_that_is_late_leaves_the_others_alone(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.5)
    @modalnb.concurrent(max_inputs=8)
    async def work(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return os.getpid()

    first, late, *others = work.map([0, 60, 0.3, 0.3], return_exceptions=True)
    assert isinstance(late, FunctionTimeoutError)
    assert {first, *others} == {work.remote(0)}


def test_timeout_of_a_batch_goes_to_all_of_it(app: modalnb.App) -> None:
    @app.function(max_containers=1, timeout=0.3)
    @modalnb.batched(max_batch_size=3, wait_ms=600_000)
    def work(xs: list[float]) -> list[float]:
        time.sleep(60)
        return xs

    late = list(work.map(range(3), return_exceptions=True))
    assert [type(error) for error in late] == [FunctionTimeoutError] * 3


@pytest.mark.parametrize("name", ["timeout", "startup_timeout"])
@pytest.mark.parametrize("value", [0, -1, 86_401, "5", True])
def test_timeouts_out_of_range_are_refused_at_decoration(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=f"`{name}` must be"):
        modalnb.App().function(**{name: value})


def test_defaults_are_five_minutes_to_run_and_as_long_to_start() -> None:
    """At least ten seconds to start, however short an attempt may be."""

    @modalnb.App().function()
    def plain() -> None: ...

    @modalnb.App().function(timeout=20)
    def short() -> None: ...

    @modalnb.App().function(timeout=1)
    def shortest() -> None: ...

    @modalnb.App().function(timeout=7, startup_timeout=9)
    def given() -> None: ...

    functions = (plain, short, shortest, given)
    times = [(f._settings.timeout, f._settings.seconds_to_start) for f in functions]
    assert times == [(300, 300), (20, 20), (1, 10), (7, 9)]
