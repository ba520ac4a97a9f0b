"""``retries=``: failed inputs run again, after delays in which they hold no slot."""

from __future__ import annotations

import itertools
import os
import signal as signals
import time
from collections.abc import Callable
from typing import Any

import pytest

import modalnb
from modalnb.exception import FunctionTimeoutError, InputCancelledError, InvalidError

AT_ONCE = modalnb.Retries(max_retries=2, initial_delay=0, backoff_coefficient=1)


class Failed(Exception):
    pass


@pytest.fixture
def flaky(app: modalnb.App, tmp_path: Any) -> modalnb.Function:
    """Fails in all attempts of an input but the last of the three that it has."""

    @app.function(max_containers=1, retries=AT_ONCE)
    def flaky(x: int, successful: int = 3) -> tuple[int, int]:
        path = tmp_path / str(x)
        with open(path, "a") as file:
            file.write("x")
        attempt = len(path.read_text())
        if attempt < successful:
            raise Failed(f"attempt {attempt}")
        return x, attempt

    return flaky


@pytest.mark.parametrize(
    "call",
    [
        lambda f: [f.remote(0), f.remote(1)],
        lambda f: list(f.map(range(2))),
        lambda f: list(f.starmap([(0,), (1,)])),
        lambda f: [f.spawn(0).get(), f.spawn(1).get()],
        lambda f: list(f.spawn_map(range(2)).iter()),
    ],
    ids=["remote", "map", "starmap", "spawn", "spawn_map"],
)
def test_failed_inputs_run_again_in_calls_of_every_kind(
    flaky: modalnb.Function, call: Callable[[modalnb.Function], Any]
) -> None:
    assert call(flaky) == [(0, 3), (1, 3)]


def test_caller_sees_the_last_failure_only(flaky: modalnb.Function) -> None:
    with pytest.raises(Failed, match="attempt 3"):
        flaky.remote(0, successful=9)
    ok, failed = flaky.map([1, 2], kwargs={"successful": 3}, return_exceptions=True), None
    assert list(ok) == [(1, 3), (2, 3)]
    [failed] = flaky.map([3], kwargs={"successful": 4}, return_exceptions=True)
    assert isinstance(failed, Failed)
    assert str(failed) == "attempt 3"
    assert flaky.snapshot().failed == 2


def test_number_of_retries_waits_a_second_between_attempts(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1, retries=1)
    def fail() -> None:
        notes.add(time.monotonic())
        raise Failed

    with pytest.raises(Failed):
        fail.remote()
    first, second = map(float, notes.lines)
    assert 1.0 <= second - first < 2.0


def test_delays_grow_as_the_policy_says(app: modalnb.App, notes: Any) -> None:
    policy = modalnb.Retries(max_retries=3, initial_delay=0.1, backoff_coefficient=2.5)

    @app.function(max_containers=1, retries=policy)
    def fail() -> None:
        notes.add(time.monotonic())
        raise Failed

    with pytest.raises(Failed):
        fail.remote()
    times = [float(line) for line in notes.lines]
    delays = [after - before for before, after in itertools.pairwise(times)]
    for delay, expected in zip(delays, [0.1, 0.25, 0.625], strict=True):
        assert expected <= delay < expected + 0.5


def test_delays_are_bounded_by_max_delay() -> None:
    policy = modalnb.Retries(max_retries=9, initial_delay=0.5, backoff_coefficient=10, max_delay=20)
    assert [policy.delay(n) for n in (1, 2, 3, 9)] == [0.5, 5, 20, 20]


def test_waiting_inputs_hold_no_slot(app: modalnb.App, wait_until: Any) -> None:
    policy = modalnb.Retries(max_retries=1, initial_delay=60)

    @app.function(max_containers=1, retries=policy)
    def work(fails: bool) -> str:
        if fails:
            raise Failed
        return "ok"

    waiting = [work.spawn(True) for _ in range(3)]
    wait_until(lambda: work.snapshot().retrying == 3)
    assert work.snapshot().demand == 0
    assert work.remote(False) == "ok"
    for call in waiting:
        call.cancel()


def test_cancelled_inputs_are_not_retried(
    app: modalnb.App, notes: Any, signal: Any, wait_until: Any
) -> None:
    started = signal("started")

    @app.function(max_containers=1, retries=AT_ONCE)
    def work() -> None:
        notes.add("ran")
        started.set()
        time.sleep(60)

    call = work.spawn()
    started.wait()
    call.cancel()
    with pytest.raises(InputCancelledError):
        call.get()
    wait_until(lambda: work.snapshot().count("idle") == 1)
    assert work.snapshot().retrying == 0
    assert notes.lines == ["ran"]


def test_cancel_ends_the_wait_for_a_retry(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=1, retries=modalnb.Retries(max_retries=1, initial_delay=60))
    def fail() -> None:
        raise Failed

    call = fail.spawn()
    wait_until(lambda: fail.snapshot().retrying == 1)
    call.cancel()
    with pytest.raises(InputCancelledError):
        call.get(timeout=5)
    assert fail.snapshot().retrying == 0


def test_lost_containers_do_not_use_up_retries(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1, retries=modalnb.Retries(max_retries=1, initial_delay=0))
    def work() -> int:
        attempt: int = notes.add("ran")
        if attempt in (1, 3):
            os.kill(os.getpid(), signals.SIGKILL)
        if attempt == 2:
            raise Failed
        return attempt

    assert work.remote() == 4


def test_timeouts_are_retried_and_each_attempt_starts_afresh(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1, timeout=0.4, retries=AT_ONCE)
    def work(last: int) -> int:
        attempt: int = notes.add("ran")
        time.sleep(0.3 if attempt == last else 60)
        return attempt

    assert work.remote(2) == 2
    with pytest.raises(FunctionTimeoutError):
        work.remote(99)
    assert len(notes.lines) == 5


def test_inputs_of_a_batch_are_retried_each_on_its_own(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1, retries=modalnb.Retries(max_retries=1, initial_delay=0))
    @modalnb.batched(max_batch_size=3, wait_ms=50)
    def work(xs: list[int]) -> list[int]:
        if notes.add(sorted(xs)) == 1:
            raise Failed
        return xs

    assert list(work.map(range(3))) == [0, 1, 2]
    assert notes.lines[0] == "[0, 1, 2]"
    assert sum(len(line.split(",")) for line in notes.lines[1:]) == 3


def test_retry_of_one_input_leaves_the_others_running(
    app: modalnb.App, notes: Any, signal: Any
) -> None:
    failed_twice = signal("failed-twice")

    @app.function(max_containers=1, retries=AT_ONCE)
    @modalnb.concurrent(max_inputs=2)
    def work(fails: bool) -> int:
        if not fails:
            failed_twice.wait()
            return 0
        if notes.add("failed") == 2:
            failed_twice.set()
        raise Failed

    ok, failed = work.map([False, True], return_exceptions=True)
    assert ok == 0
    assert isinstance(failed, Failed)
    assert len(notes.lines) == 3


def test_retried_inputs_come_before_the_others_of_their_call(app: modalnb.App, notes: Any) -> None:
    @app.function(max_containers=1, retries=AT_ONCE)
    def work(x: int) -> None:
        time.sleep(0.03)
        if notes.add(x) == 1:
            raise Failed

    work.for_each(range(20))
    assert notes.lines.index("0", 1) < 10


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_retries": -1}, "`max_retries` must be at least 0; got -1"),
        ({"max_retries": 1.5}, r"`max_retries` must be an int; got 1\.5"),
        ({"max_retries": True}, "`max_retries` must be an int; got True"),
        ({"max_retries": 1, "backoff_coefficient": 0.9}, "`backoff_coefficient` must be between"),
        ({"max_retries": 1, "backoff_coefficient": 11}, "`backoff_coefficient` must be between"),
        ({"max_retries": 1, "initial_delay": -1}, "`initial_delay` must be between 0 and 60"),
        ({"max_retries": 1, "initial_delay": 61}, "`initial_delay` must be between 0 and 60"),
        ({"max_retries": 1, "max_delay": 0.5}, "`max_delay` must be between 1 and 60"),
        ({"max_retries": 1, "max_delay": 61}, "`max_delay` must be between 1 and 60"),
    ],
)
def test_policy_out_of_range_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        modalnb.Retries(**values)


def test_policy_needs_its_number() -> None:
    with pytest.raises(TypeError, match="max_retries"):
        modalnb.Retries()  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [-1, "3", 1.5, True])
def test_retries_of_wrong_type_are_refused_at_decoration(value: Any) -> None:
    with pytest.raises(InvalidError, match="retries"):
        modalnb.App().function(retries=value)
