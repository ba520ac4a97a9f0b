"""The autoscaler as users see it: real containers come and go as the settings say."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError, NotFoundError


def _live(function: modalnb.Function) -> int:
    snapshot = function.snapshot()
    return len(snapshot.containers) - snapshot.count("draining")


def test_pool_grows_from_zero_and_shrinks_back(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=3, scaledown_window=0.5)
    def work(x: int) -> int:
        threading.Event().wait(0.2)
        return os.getpid()

    assert _live(work) == 0
    pids = set(work.map(range(12)))
    assert 1 < len(pids) <= 3
    wait_until(lambda: _live(work) == 0)
    wait_until(lambda: not any(_is_alive(pid) for pid in pids))


def test_min_containers_are_warm_without_inputs_and_stay(app: modalnb.App, wait_until: Any) -> None:
    @app.function(min_containers=2, scaledown_window=0.2)
    def work() -> int:
        return os.getpid()

    first = work.remote()
    wait_until(lambda: work.snapshot().count("idle") == 2)
    for _ in range(3):
        app_pids = {c.pid for c in work.snapshot().containers}
        assert work.remote() in app_pids
    assert first in {c.pid for c in work.snapshot().containers}


def test_max_containers_is_never_exceeded(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    def work(x: int) -> int:
        return os.getpid()

    assert len(set(work.map(range(300)))) <= 2
    assert len(work.snapshot().containers) <= 2


def test_buffer_is_there_only_while_the_function_is_active(
    app: modalnb.App, wait_until: Any
) -> None:
    @app.function(buffer_containers=2, scaledown_window=0.6)
    def work() -> None:
        return None

    work.remote()
    wait_until(lambda: _live(work) == 3)
    wait_until(lambda: _live(work) == 0)


def test_update_autoscaler_acts_at_once_and_adds_up(app: modalnb.App, wait_until: Any) -> None:
    @app.function(scaledown_window=0.3)
    def work() -> None:
        return None

    settings = work.update_autoscaler(min_containers=2)
    assert settings.min_containers == 2
    assert settings.scaledown_window == 0.3
    wait_until(lambda: work.snapshot().count("idle") == 2)
    settings = work.update_autoscaler(max_containers=4, buffer_containers=1)
    assert (settings.min_containers, settings.max_containers, settings.buffer_containers) == (
        2,
        4,
        1,
    )
    work.update_autoscaler(min_containers=0)
    wait_until(lambda: _live(work) == 0)


def test_lowered_maximum_drains_busy_containers_without_losing_inputs(
    app: modalnb.App, wait_until: Any, tmp_path: Any
) -> None:
    """Nothing is run twice because of scale-down, and scale-down does not wait for the queue."""
    folder = str(tmp_path)

    @app.function(max_containers=3)
    def work(x: int) -> int:
        descriptor = os.open(os.path.join(folder, str(x)), os.O_CREAT | os.O_EXCL)
        os.close(descriptor)
        threading.Event().wait(0.1)
        return x

    results = work.map(range(60))
    first = next(results)
    wait_until(lambda: work.snapshot().count("busy") == 3)
    work.update_autoscaler(max_containers=1)
    wait_until(lambda: len(work.snapshot().containers) == 1)
    assert work.snapshot().pending > 0
    assert [first, *results] == list(range(60))
    assert len(os.listdir(folder)) == 60


def test_wrong_override_is_refused_with_the_rule(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    def work() -> None:
        return None

    with pytest.raises(InvalidError, match=r"`min_containers` must be at least 0; got -1\."):
        work.update_autoscaler(min_containers=-1)
    with pytest.raises(InvalidError, match=r"`min_containers` \(5\) cannot be greater than"):
        work.update_autoscaler(min_containers=5)
    with pytest.raises(InvalidError, match="`buffer_containers` must be an int; got True"):
        work.update_autoscaler(buffer_containers=True)


def test_from_name_finds_the_running_app_and_steers_it(app: modalnb.App, wait_until: Any) -> None:
    @app.function()
    def process(x: int) -> int:
        return x + 1

    process.remote(1)
    handle = modalnb.Function.from_name("test-app", "process")
    assert handle.remote(2) == 3
    handle.update_autoscaler(min_containers=1, buffer_containers=1)
    assert process.snapshot().settings.min_containers == 1


def test_from_name_of_nothing_says_what_there_is(app: modalnb.App) -> None:
    @app.function()
    def process(x: int) -> int:
        return x

    process.remote(1)
    with pytest.raises(NotFoundError, match="there is no app 'nowhere'"):
        modalnb.Function.from_name("nowhere", "f").remote()
    with pytest.raises(NotFoundError, match="Function 'f' from the 'test-app' app; it has process"):
        modalnb.Function.from_name("test-app", "f").hydrate()
    with pytest.raises(InvalidError, match=r"Cls\.from_name"):
        modalnb.Function.from_name("test-app", "C.f")


def test_update_autoscaler_from_inside_a_container(app: modalnb.App, wait_until: Any) -> None:
    """The scaling document's own example: a function that scales another one up."""
    modal = modalnb

    @app.function()
    def process(x: int) -> int:
        return x

    @app.function()
    def scale_up_for_peak() -> None:
        process = modal.Function.from_name("test-app", "process")
        process.update_autoscaler(min_containers=2, buffer_containers=1)

    process.remote(1)
    scale_up_for_peak.remote()
    wait_until(lambda: process.snapshot().settings.min_containers == 2)
    wait_until(lambda: process.snapshot().count("idle") >= 2)


def test_deploy_puts_the_decorators_values_back(app: modalnb.App) -> None:
    @app.function(min_containers=1, max_containers=3)
    def process(x: int) -> int:
        return x

    app.deploy(name="deployed-app")
    handle = modalnb.Function.from_name("deployed-app", "process")
    handle.update_autoscaler(min_containers=2, buffer_containers=1)
    assert process.snapshot().settings.buffer_containers == 1
    app.deploy(name="deployed-app")
    settings = process.snapshot().settings
    assert (settings.min_containers, settings.max_containers) == (1, 3)
    assert settings.buffer_containers == 0


def test_deploy_of_a_new_app_object_is_the_next_version(engine: None, wait_until: Any) -> None:
    def build(text: str, *names: str) -> modalnb.App:
        app = modalnb.App("versions")
        for name in names:
            app.function(name=name, scaledown_window=0.2)(lambda: text)
        return app

    first = build("one", "f", "g")
    first.deploy()
    handle = modalnb.Function.from_name("versions", "f")
    assert handle.remote() == "one"
    second = build("two", "f")
    second.deploy()
    assert handle.remote() == "two"
    with pytest.raises(NotFoundError):
        modalnb.Function.from_name("versions", "g").remote()
    second.stop()


def test_deploy_without_a_name_is_refused(engine: None) -> None:
    with pytest.raises(InvalidError, match="needs a name"):
        modalnb.App().deploy()


def test_killed_containers_lose_nothing(app: modalnb.App, wait_until: Any) -> None:
    """Kill a container every so often during one map: every result is there and right."""

    @app.function(max_containers=3)
    def work(x: int) -> int:
        threading.Event().wait(0.005)
        return x * 2

    results = []
    for result in work.map(range(600)):
        results.append(result)
        if len(results) % 150 == 50:
            victims = [c.pid for c in work.snapshot().containers if c.pid and c.state == "busy"]
            if victims:
                os.kill(victims[0], signal.SIGKILL)
    assert results == [2 * i for i in range(600)]


def test_pool_is_refilled_after_a_kill(app: modalnb.App, wait_until: Any) -> None:
    @app.function(min_containers=2)
    def work() -> None:
        return None

    work.remote()
    wait_until(lambda: work.snapshot().count("idle") == 2)
    before = {c.pid for c in work.snapshot().containers}
    victim = next(iter(before))
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in {c.pid for c in work.snapshot().containers})
    wait_until(lambda: work.snapshot().count("idle") == 2)


def test_input_that_kills_its_container_fails_alone_with_its_story(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    def work(x: int) -> int:
        if x == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    results = list(work.map(range(30), return_exceptions=True))
    poison = results.pop(7)
    assert results == [i for i in range(30) if i != 7]
    assert isinstance(poison, modalnb.exception.ContainerLostError)
    assert len(poison.losses) == 8
    assert "SIGKILL" in poison.losses[0]
    assert "`work` lost its container 8 times" in str(poison)


def test_two_functions_scale_independently(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=2, scaledown_window=0.3)
    def one(x: int) -> int:
        return x

    @app.function(max_containers=1, min_containers=1)
    def two(x: int) -> int:
        return -x

    maps = one.map(range(100)), two.map(range(100))
    assert list(maps[0]) == list(range(100))
    assert list(maps[1]) == [-x for x in range(100)]
    wait_until(lambda: _live(one) == 0)
    assert _live(two) == 1


def test_every_decision_has_a_reason(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work(x: int) -> int:
        return x

    list(work.map(range(5)))
    explanation = work.explain()
    assert len(explanation) >= 1
    assert "start 1" in explanation[0]["reason"]
    assert "capped by max 1" in repr(explanation) or "= 1" in repr(explanation)
    assert "<table" in explanation._repr_html_()


def test_current_stats_are_modals_four_numbers(app: modalnb.App, wait_until: Any) -> None:
    @app.function(min_containers=2)
    def work() -> None:
        return None

    work.remote()
    wait_until(lambda: work.snapshot().count("idle") == 2)
    stats = work.get_current_stats()
    assert (stats.backlog, stats.num_total_runners) == (0, 2)
    assert (stats.num_running_inputs, stats.input_headroom) == (0, 2)


def test_app_snapshot_shows_all_pools(app: modalnb.App) -> None:
    @app.function()
    def one() -> None:
        return None

    @app.function()
    def two() -> None:
        return None

    one.remote()
    snapshot = app.snapshot()
    assert [pool.function for pool in snapshot.pools] == ["one", "two"]
    pool = snapshot.pool("one")
    assert pool is not None
    assert pool.done == 1
    assert type(snapshot).from_dict(snapshot.to_dict()) == snapshot


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
