"""The limits of the scaling document, and what waits at them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import modalnb
from modalnb.api import current
from modalnb.cluster import session as sessions
from modalnb.exception import ConnectionError, ResourceExhaustedError
from modalnb.settings import Limits


def test_limits_are_those_of_the_document() -> None:
    limits = Limits()
    assert (limits.pending, limits.total) == (2_000, 25_000)
    assert (limits.pending_spawns, limits.map_outstanding) == (1_000_000, 1_000)


def test_map_of_a_hundred_thousand_inputs_waits_and_never_errors(app: modalnb.App) -> None:
    @app.function(max_containers=2)
    def same(x: int) -> int:
        return x

    total = 0
    for expected, result in enumerate(same.map(iter(range(100_000)))):
        assert result == expected
        total += 1
    assert total == 100_000


def test_no_more_than_a_thousand_inputs_of_a_map_are_on_the_way(
    app: modalnb.App, tmp_path: Any, wait_until: Any
) -> None:
    gate = str(tmp_path / "gate")

    @app.function(max_containers=1)
    def wait(x: int) -> int:
        while not os.path.exists(gate):
            threading.Event().wait(0.01)
        return x

    results = wait.map(range(3_000))
    thread = threading.Thread(target=lambda: list(results))
    thread.start()
    wait_until(lambda: wait.snapshot().demand == 1_000)
    assert wait.snapshot().demand == 1_000
    open(gate, "w").close()
    thread.join()


@pytest.fixture
def small_limits(engine: None) -> Iterator[None]:
    """An engine with small limits in the place of the usual one."""
    current.use(sessions.start_embedded({"pending": 5, "total": 8, "pending_spawns": 10}))
    yield
    current.close()


def test_spawns_beyond_their_limit_are_refused_with_facts_and_lose_nothing(
    small_limits: None, tmp_path: Any
) -> None:
    gate = str(tmp_path / "gate")
    app = modalnb.App("limits")

    @app.function(max_containers=1)
    def wait(x: int) -> int:
        while not os.path.exists(gate):
            threading.Event().wait(0.01)
        return x

    calls: list[modalnb.FunctionCall] = []
    with pytest.raises(ResourceExhaustedError) as caught:
        calls.extend(wait.spawn(n) for n in range(1_000))
    assert caught.value.limit == "pending spawned inputs"
    assert caught.value.maximum == 10
    open(gate, "w").close()
    assert modalnb.FunctionCall.gather(*calls) == list(range(len(calls)))


def test_spawn_map_beyond_the_limit_waits(small_limits: None) -> None:
    app = modalnb.App("limits")

    @app.function(max_containers=1)
    def same(x: int) -> int:
        return x

    assert list(same.spawn_map(range(100)).iter()) == list(range(100))


def test_map_beyond_the_limits_waits_and_keeps_order(small_limits: None) -> None:
    app = modalnb.App("limits")

    @app.function(max_containers=1)
    def same(x: int) -> int:
        return x

    assert list(same.map(range(300))) == list(range(300))


def test_machine_too_small_for_one_container_is_told_in_a_sentence(engine: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modalnb.config._values, "memory_per_container", 2**50)
        with pytest.raises(
            ConnectionError, match=r"1,073,741,824 MiB, but this machine has .* MiB"
        ):
            sessions.start_embedded()


def test_engine_that_stays_silent_is_given_up(engine: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modalnb.config._values, "start_timeout", 0.01)
        with pytest.raises(ConnectionError, match="The engine did not start"):
            sessions.start_embedded()


def test_spare_container_is_ready_before_it_is_needed(engine: None, wait_until: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modalnb.config._values, "spare", True)
        current.use(sessions.start_embedded())
    app = modalnb.App("spare")

    @app.function(max_containers=1)
    def pid() -> int:
        return os.getpid()

    @app.function(max_containers=1)
    def other() -> int:
        return os.getpid()

    pid.remote()

    def spare() -> list[str]:
        stub = current.stub()
        return [str(name) for name in stub.ask("pools").result(10)["unassigned"]]

    wait_until(lambda: len(spare()) == 1)
    name = spare()[0]
    other.remote()
    assert other.snapshot().containers[0].container_id == name
    wait_until(lambda: spare() not in ([], [name]))
    current.close()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("START_TIMEOUT", "soon", "`MODALNB_START_TIMEOUT` must be a number; got 'soon'."),
        ("SPARE", "yes", "`MODALNB_SPARE` must be 0 or 1; got 'yes'."),
        ("RESULT_DAYS", "-1", "`MODALNB_RESULT_DAYS` must be at least 0; got -1."),
    ],
)
def test_wrong_environment_is_told_at_once(name: str, value: str, text: str) -> None:
    from modalnb.configuration import Config

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"MODALNB_{name}", value)
        with pytest.raises(modalnb.exception.InvalidError) as caught:
            Config()
    assert str(caught.value) == text
