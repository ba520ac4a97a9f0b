"""Section 4 of Modal's behaviour: slots that the code in a container changes by itself."""

from __future__ import annotations

import threading

import pytest

import modalnb
from modalnb.exception import InvalidError


def test_local_input_concurrency_changes_the_slots_of_this_container(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4)
    def work(slots: int) -> int:
        modalnb.experimental.set_local_input_concurrency(slots)
        return modalnb.experimental.get_local_input_concurrency()

    @app.function(max_containers=1)
    @modalnb.concurrent(max_inputs=4)
    def together(slots: int) -> int:
        if slots:
            modalnb.experimental.set_local_input_concurrency(slots)
            return 0
        _running.append(None)
        threading.Event().wait(0.05)
        most = len(_running)
        _running.pop()
        return most

    assert work.remote(4) == 4
    together.remote(2)
    assert max(together.map([0] * 12)) == 2
    together.remote(4)
    assert max(together.map([0] * 12)) > 2


def test_local_input_concurrency_beyond_max_inputs_is_refused(app: modalnb.App) -> None:
    @app.function()
    def work(slots: int) -> None:
        modalnb.experimental.set_local_input_concurrency(slots)

    with pytest.raises(InvalidError, match="cannot be greater than the `max_inputs`"):
        work.remote(2)
    with pytest.raises(InvalidError, match="must be at least 1; got 0"):
        work.remote(0)


def test_stop_fetching_inputs_drains_the_container(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work(leaves: bool) -> str | None:
        import os

        if leaves:
            modalnb.experimental.stop_fetching_inputs()
        return str(os.getpid())

    first = work.remote(True)
    assert work.remote(False) != first


def test_experimental_functions_need_a_container() -> None:
    with pytest.raises(InvalidError, match="call it inside of a function"):
        modalnb.experimental.get_local_input_concurrency()


_running: list[None] = []
