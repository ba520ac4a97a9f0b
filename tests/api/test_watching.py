"""What live views are told: one look gives the app, its marks and its gauges; tails are kept."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import modalnb
from modalnb.api.watching import Watch, watch_app, watch_pool
from modalnb.exception import ExecutionError, InvalidError


def _kinds(watch: Watch) -> list[str]:
    return [mark.kind for mark in watch.look().marks]


def test_look_tells_what_is_new_once(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=1)
    def talk(name: str) -> None:
        print(f"hello {name}")

    watch = watch_app(app)
    assert watch.look().snapshot.pool("talk") is not None
    talk.remote("you")
    assert _kinds(watch) == ["ready"]
    assert _kinds(watch) == []
    watch.update(watch.look().snapshot.pools[0].pool_id, {"max_containers": 2})
    assert _kinds(watch) == ["settings"]


def test_death_is_told_with_its_story(app: modalnb.App, wait_until: Any) -> None:
    @app.function(max_containers=1, min_containers=1)
    def f() -> None:
        pass

    watch, pool_id = watch_pool(f)
    wait_until(lambda: f.snapshot().count("idle"))
    [container] = f.snapshot().containers
    assert container.pid is not None
    os.kill(container.pid, signal.SIGKILL)
    marks: list[Any] = []

    def has_died() -> bool:
        marks.extend(watch.look().marks)
        return any(mark.kind == "died" for mark in marks)

    wait_until(has_died)
    [death] = [mark for mark in marks if mark.kind == "died"]
    assert (death.pool_id, death.container_id) == (pool_id, container.container_id)
    assert "SIGKILL" in death.text


def test_tail_keeps_what_containers_printed(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def talk(x: int) -> str:
        print(f"line {x}")
        return modalnb.current_function_call_id() or ""

    call_id = talk.remote(1)
    talk.remote(2)
    watch, pool_id = watch_pool(talk)
    lines = watch.tail(pool_id=pool_id)
    assert [line[-1] for line in lines] == ["line 1\n", "line 2\n"]
    assert [line[-1] for line in watch.tail(call_id=call_id)] == ["line 1\n"]
    assert watch.tail(pool_id=pool_id, since=lines[-1][0]) == []


def test_gauges_name_the_limits(app: modalnb.App, tmp_path: Any, wait_until: Any) -> None:
    gate = str(tmp_path / "gate")

    @app.function(max_containers=1)
    def wait(x: int) -> int:
        import os
        import time

        while not os.path.exists(gate):
            time.sleep(0.01)
        return x

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.extend(wait.map(range(30))))
    thread.start()
    watch, _ = watch_pool(wait)

    def used() -> dict[str, float]:
        return {g.name: g.current for g in watch.look().snapshot.pools[0].gauges}

    wait_until(lambda: used()["inputs in total"] == 30)
    assert used()["inputs of one map"] == 30
    assert used()["pending spawned inputs"] == 0
    open(gate, "w").close()
    thread.join()
    assert results == list(range(30))
    assert set(used().values()) == {0}


def test_update_checks_what_it_is_given(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    def f() -> None:
        pass

    watch, pool_id = watch_pool(f)
    with pytest.raises(InvalidError, match="at least 0"):
        watch.update(pool_id, {"min_containers": -1})
    with pytest.raises(InvalidError, match="cannot be greater"):
        watch.update(pool_id, {"min_containers": 3})
    assert watch.update(pool_id, {"min_containers": 1})["min_containers"] == 1


def test_look_at_a_stopped_app_is_an_error(app: modalnb.App) -> None:
    @app.function()
    def f() -> None:
        pass

    watch = watch_app(app)
    app.stop()
    with pytest.raises(ExecutionError, match="has been stopped"):
        watch.look()
