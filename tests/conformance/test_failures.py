"""Containers that die or cannot start, and inputs that get one for themselves."""

from __future__ import annotations

import os
import signal as signals
from typing import Any

import pytest

import modalnb
from modalnb.exception import ContainerLostError, InvalidError


def test_input_of_a_dead_container_runs_again_and_is_no_failure(
    app: modalnb.App, notes: Any
) -> None:
    @app.function(max_containers=1)
    def work() -> int:
        attempt: int = notes.add("ran")
        if attempt < 3:
            os.kill(os.getpid(), signals.SIGKILL)
        return attempt

    assert work.remote() == 3
    assert work.snapshot().failed == 0


def test_input_that_loses_eight_containers_is_given_up_with_their_story(
    app: modalnb.App, notes: Any
) -> None:
    @app.function(max_containers=1, retries=5)
    def work(x: int) -> int:
        if x == 1:
            notes.add("ran")
            os.kill(os.getpid(), signals.SIGKILL)
        return x

    first, lost, last = work.map(range(3), return_exceptions=True)
    assert (first, last) == (0, 2)
    assert isinstance(lost, ContainerLostError)
    assert len(lost.losses) == len(notes.lines) == 8
    text = str(lost)
    assert "`work` lost its container 8 times" in text
    assert text.count("SIGKILL") == 8
    assert all(f"  {n}. container ta-work-" in text for n in range(1, 9))


def test_failed_starts_are_no_attempts_of_an_input(app: modalnb.App, notes: Any) -> None:
    """Neither are they retried as the inputs are, nor do they use their retries up."""

    @app.cls(max_containers=1, retries=modalnb.Retries(max_retries=1, initial_delay=0))
    class Model:
        @modalnb.enter()
        def load(self) -> None:
            if notes.add("start") < 3:
                raise OSError("not yet")

        @modalnb.method()
        def work(self) -> int:
            attempt: int = notes.add("ran") - 3
            if attempt == 1:
                raise ValueError("first")
            return attempt

    assert Model().work.remote() == 2
    assert notes.lines == ["start"] * 3 + ["ran"] * 2


def test_code_that_cannot_be_imported_fails_its_input_with_the_reason(
    app: modalnb.App, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing:
        def __reduce__(self) -> Any:
            return _import, ("no_such_module_at_all",)

    missing = Missing()

    @app.function(max_containers=1)
    def work() -> Any:
        return missing

    with pytest.raises(modalnb.exception.Error, match="no_such_module_at_all"):
        work.remote()


def _import(name: str) -> Any:
    return __import__(name)


# -- containers for one input each ---------------------------------------------------------


def test_single_use_containers_run_one_input_each(app: modalnb.App) -> None:
    @app.function(max_containers=2, single_use_containers=True)
    def work(x: int) -> tuple[int, int]:
        return x, os.getpid()

    results = list(work.map(range(6)))
    assert [x for x, _ in results] == list(range(6))
    assert len({pid for _, pid in results}) == 6


def test_single_use_containers_run_retries_in_fresh_ones_too(app: modalnb.App, notes: Any) -> None:
    policy = modalnb.Retries(max_retries=2, initial_delay=0)

    @app.function(max_containers=1, single_use_containers=True, retries=policy)
    def work() -> None:
        notes.add(os.getpid())
        raise ValueError("again")

    with pytest.raises(ValueError, match="again"):
        work.remote()
    assert len(set(notes.lines)) == 3


def test_old_name_of_single_use_containers_still_works() -> None:
    app = modalnb.App()
    with pytest.warns(DeprecationWarning, match="single_use_containers"):

        @app.function(max_inputs=1)
        def work() -> None: ...

    assert work._settings.single_use
    for value in (0, 2, True):
        with pytest.raises(InvalidError, match="max_inputs"):
            app.function(max_inputs=value)


# -- leaving -------------------------------------------------------------------------------


def test_container_that_has_to_leave_finishes_what_it_runs(
    app: modalnb.App, signal: Any, wait_until: Any
) -> None:
    gate = signal("gate")

    @app.function(max_containers=2)
    def work(x: int) -> int:
        gate.wait()
        return x

    calls = [work.spawn(x) for x in range(2)]
    wait_until(lambda: work.snapshot().running == 2)
    work.update_autoscaler(max_containers=1)
    wait_until(lambda: work.snapshot().count("draining") == 1)
    gate.set()
    assert modalnb.FunctionCall.gather(*calls) == [0, 1]
    wait_until(lambda: len(work.snapshot().containers) == 1)
