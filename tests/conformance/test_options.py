"""Section 6: ``with_options``, ``with_concurrency`` and ``with_batching``."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

import modalnb as modal
from modalnb.exception import InvalidError, UnsupportedWarning


def _double(x: int) -> int:
    return 2 * x


def _declare(**options: Any) -> Any:
    return modal.App().function(**options)(_double)


# -- what is accepted ----------------------------------------------------------------------


def test_options_give_a_new_handle_and_leave_the_old_one() -> None:
    function = _declare(max_containers=5)
    varied = function.with_options(max_containers=2, scaledown_window=5.0)
    assert (function.name, varied.name) == (
        "_double",
        "_double[max_containers=2, scaledown_window=5]",
    )
    assert varied._settings.autoscaler.max_containers == 2
    assert function._settings.autoscaler.max_containers == 5
    assert varied.local(2) == 4


def test_stacked_options_are_merged_and_later_ones_win() -> None:
    varied = (
        _declare(cpu=1)
        .with_options(max_containers=2, timeout=10)
        .with_options(max_containers=3)
        .with_concurrency(max_inputs=4, target_inputs=2)
        .with_options(retries=1)
    )
    settings = varied._settings
    assert (settings.autoscaler.max_containers, settings.timeout, settings.cpu) == (3, 10, 1)
    assert (settings.max_inputs, settings.target_inputs) == (4, 2)
    assert settings.retries.max_retries == 1


def test_none_cannot_take_an_option_back() -> None:
    varied = _declare().with_options(max_containers=2, cpu=1.0)
    assert varied.with_options(max_containers=None, cpu=None).name == varied.name
    assert _declare().with_options().name == "_double"


def test_zero_containers_at_most_are_no_limit() -> None:
    varied = _declare(max_containers=2).with_options(max_containers=0)
    assert varied._settings.autoscaler.max_containers is None


def test_options_have_no_min_containers() -> None:
    with pytest.raises(InvalidError, match=r"no `min_containers`. Use `update_autoscaler`"):
        _declare().with_options(min_containers=1)


@pytest.mark.parametrize("name", ["schedule", "name", "is_generator", "max_container"])
def test_unknown_option_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        _declare().with_options(**{name: 1})


def test_positional_options_are_refused() -> None:
    with pytest.raises(InvalidError, match="takes keyword arguments only"):
        _declare().with_options(2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_containers": -1}, "`max_containers` must be at least 1; got -1"),
        ({"buffer_containers": True}, "`buffer_containers` must be an int; got True"),
        ({"scaledown_window": 3601}, "`scaledown_window` must be between 0 and 3600"),
        ({"cpu": 0}, "`cpu` must be above 0 cores"),
        ({"timeout": 0}, "`timeout` must be above 0 seconds"),
        ({"retries": -1}, "`retries` must be at least 0; got -1"),
        ({"keep_warm": 1}, "`keep_warm` is now `min_containers`"),
    ],
)
def test_wrong_option_is_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        _declare().with_options(**options)


def test_option_that_does_not_fit_the_decorator_is_refused_at_once() -> None:
    with pytest.raises(InvalidError, match=r"`min_containers` \(3\) cannot be greater"):
        _declare(min_containers=3).with_options(max_containers=2)


def test_options_without_effect_are_named_in_one_warning() -> None:
    with pytest.warns(UnsupportedWarning, match="`region`, `secrets` have no effect") as caught:
        assert _declare().with_options(region="eu", secrets=["a"]).name == "_double"
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_inputs": 0}, "`max_inputs` must be at least 1; got 0"),
        ({"max_inputs": 2.5}, "`max_inputs` must be an int"),
        ({"max_inputs": 2, "target_inputs": 3}, r"`target_inputs` \(3\) cannot be greater"),
    ],
)
def test_wrong_concurrency_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        _declare().with_concurrency(**options)


def test_concurrency_without_target_plans_for_all_inputs() -> None:
    settings = _declare().with_concurrency(max_inputs=8)._settings
    assert (settings.max_inputs, settings.target_inputs) == (8, 8)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_batch_size": 0, "wait_ms": 1}, "`max_batch_size` must be at least 1; got 0"),
        ({"max_batch_size": 1001, "wait_ms": 1}, "cannot be greater than 1000"),
        ({"max_batch_size": 2, "wait_ms": -1}, "`wait_ms` must be at least 0; got -1"),
    ],
)
def test_wrong_batching_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        _declare().with_batching(**options)


def test_batching_of_what_cannot_take_lists_is_refused() -> None:
    def generator(x: int) -> Any:
        yield x

    def with_default(x: int = 1) -> int:
        return x

    for raw in (generator, with_default):
        with pytest.raises(InvalidError, match=r"atched"):
            modal.App().function()(raw).with_batching(max_batch_size=2, wait_ms=1)


# -- pools ---------------------------------------------------------------------------------


def test_equal_options_lead_to_one_pool_of_their_own(app: modal.App, wait_until: Any) -> None:
    @app.function(max_containers=1)
    def pid() -> int:
        return os.getpid()

    base = pid.remote()
    options = {"max_containers": 1, "scaledown_window": 30}
    one = pid.with_options(**options).remote()
    same = pid.with_options(scaledown_window=30.0).with_options(max_containers=1)
    assert same.remote() == one
    assert base != one
    assert {pool.function for pool in app.snapshot().pools} == {"pid", same.name}
    # Each has its own autoscaling.
    same.update_autoscaler(scaledown_window=0.05)
    wait_until(lambda: not same.snapshot().containers)
    assert len(pid.snapshot().containers) == 1
    assert pid.snapshot().settings.scaledown_window == 60


def test_options_and_parameters_of_a_class_make_one_pool(app: modal.App) -> None:
    @app.cls(max_containers=1)
    class Model:
        size: str = modal.parameter(default="s")

        @modal.method()
        def pid(self) -> int:
            return os.getpid()

        @modal.method()
        def own(self) -> int:
            return int(self.pid.remote())

    model: Any = Model
    varied = model.with_options(buffer_containers=0).with_concurrency(max_inputs=2)
    plain, one = model().pid.remote(), varied().pid.remote()
    assert plain != one
    assert varied(size="s").pid.remote() == one
    # Inside of it, `self` is the same variant.
    assert varied().own.remote() == one
    assert len(app.snapshot().pools) == 2


def test_concurrency_and_batching_hold_in_the_pool_of_the_handle(app: modal.App) -> None:
    @app.function(max_containers=1)
    def meet(n: int) -> int:
        return _meeting(n)

    together = meet.with_concurrency(max_inputs=3)
    assert list(together.map([3, 3, 3])) == [3, 3, 3]

    @app.function(max_containers=1)
    def lengths(xs: Any) -> list[int]:
        return [len(xs)] * len(xs)

    batched = lengths.with_batching(max_batch_size=3, wait_ms=5000)
    assert list(batched.map([1, 2, 3])) == [3, 3, 3]


_barriers: dict[int, threading.Barrier] = {}


def _meeting(n: int) -> int:
    _barriers.setdefault(n, threading.Barrier(n)).wait(20)
    return n


def test_options_work_on_handles_from_elsewhere(app: modal.App) -> None:
    @app.function(min_containers=2, max_containers=3)
    def pid(x: Any = None) -> int:
        return os.getpid()

    with app.run():
        handle = modal.Function.from_name("test-app", "pid")
        varied = handle.with_options(max_containers=2, timeout=7)
        assert repr(varied) == (
            "Function.from_name('test-app', 'pid')[max_containers=2, timeout=7]"
        )
        same = pid.with_options(timeout=7, max_containers=2)
        assert varied.remote() > 0
        assert same.snapshot().pool_id == varied.snapshot().pool_id
        assert same.snapshot().done == 1
        assert varied.snapshot().settings.min_containers == 2
        # What does not fit the decorator shows at first use.
        late = handle.with_options(max_containers=1)
        with pytest.raises(InvalidError, match=r"`min_containers` \(2\) cannot be greater"):
            late.remote()


def test_options_work_inside_of_containers(app: modal.App) -> None:
    @app.function(max_containers=1)
    def pid() -> int:
        return os.getpid()

    varied = pid.with_options(cpu=0.5)

    @app.function(max_containers=1)
    def call() -> Any:
        return pid.remote(), varied.remote(), pid.with_options(cpu=0.5).remote()

    base, one, same = call.remote()
    assert base != one
    assert one == same == varied.remote()


def test_redefined_function_is_redefined_in_its_variants(
    app: modal.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modalnb.api.declaring.is_interactive", lambda: True)

    def define(version: int, **options: Any) -> Any:
        def f() -> Any:
            return version, os.getpid()

        return app.function(**options)(f)

    old = define(1).with_options(max_containers=1)
    version, pid = old.remote()
    assert version == 1
    define(2, buffer_containers=1).remote()
    # The code of a call is that of its handle, so the old one keeps what it was made from.
    new = modal.Function.from_name("test-app", "f").with_options(max_containers=1)
    assert new.remote() == (2, pid)
    settings = new.snapshot().settings
    assert (settings.max_containers, settings.buffer_containers) == (1, 1)


def test_deploy_keeps_the_pools_of_variants(engine: None) -> None:
    def define(version: int) -> Any:
        app = modal.App("options-app")

        @app.function(max_containers=1)
        def f() -> Any:
            return version, os.getpid()

        app.deploy()
        return app, f.with_options(cpu=0.5)

    app, varied = define(1)
    try:
        version, pid = varied.remote()
        assert version == 1
        varied.update_autoscaler(scaledown_window=50)
        second, again = define(2)
        assert again.remote() == (2, pid)
        # Overrides are gone with the next version.
        assert again.snapshot().settings.scaledown_window == 60
        assert {pool.function for pool in second.snapshot().pools} == {"f", "f[cpu=0.5]"}
    finally:
        app.stop()
    with pytest.raises(modal.exception.NotFoundError):
        modal.Function.from_name("options-app", "f").remote()
