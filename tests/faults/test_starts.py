"""Containers that die before they are ready: tried again, ever later, and told in the end."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import modalnb
from modalnb.exception import ContainerLostError
from tests.faults import marks


def test_container_that_is_killed_while_it_starts_is_replaced(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    @app.cls(max_containers=1)
    class Model:
        @modalnb.enter()
        def load(self) -> None:
            if marks.note(tmp_path, "load") < 3:
                marks.hang()

        @modalnb.method()
        def work(self, n: int) -> int:
            marks.note(tmp_path, n)
            return 10 * n

    call = Model().work.spawn_map(range(5))
    for start in (1, 2):
        wait_until(lambda start=start: len(marks.pids(tmp_path, "load")) == start)
        psutil.Process(marks.pids(tmp_path, "load")[-1]).kill()
    assert list(call.iter()) == [0, 10, 20, 30, 40]
    assert marks.counts(tmp_path, range(5)) == [1] * 5
    assert len(marks.pids(tmp_path, "load")) == 3


def test_containers_that_die_again_and_again_are_started_ever_later_and_told(
    app: modalnb.App, tmp_path: Path
) -> None:
    @app.cls(max_containers=1)
    class Model:
        @modalnb.enter()
        def load(self) -> None:
            with open(tmp_path / "starts", "a") as file:
                file.write(f"{time.time()}\n")
            if not (tmp_path / "healed").exists():
                os.write(2, b"no weights\n")
                os._exit(4)

        @modalnb.method()
        def work(self, n: int) -> int:
            return n

    with pytest.raises(ContainerLostError) as caught:
        Model().work.remote(1)
    assert len(caught.value.losses) == 3
    assert all("exit status 4" in loss and "no weights" in loss for loss in caught.value.losses)
    starts = [float(line) for line in (tmp_path / "starts").read_text().split()]
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert pauses[0] >= 0.5
    assert pauses[1] >= 1.0
    (tmp_path / "healed").touch()
    assert Model().work.remote(2) == 2


def test_container_that_dies_while_others_work_costs_no_input(
    app: modalnb.App, tmp_path: Path
) -> None:
    """The second container never comes up; the first does all the work."""

    @app.cls(max_containers=2)
    class Model:
        @modalnb.enter()
        def load(self) -> None:
            if marks.note(tmp_path, "load") > 1:
                os._exit(4)

        @modalnb.method()
        def work(self, n: int) -> int:
            time.sleep(0.05)
            marks.note(tmp_path, n)
            return n

    assert list(Model().work.map(range(40))) == list(range(40))
    assert marks.counts(tmp_path, range(40)) == [1] * 40
    assert len(marks.pids(tmp_path, "load")) > 1


def test_hook_that_never_ends_is_cut_off_at_its_startup_timeout(
    app: modalnb.App, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    @app.cls(max_containers=1, startup_timeout=1)
    class Model:
        @modalnb.enter()
        def load(self) -> None:
            if marks.note(tmp_path, "load") < 4:
                marks.hang()

        @modalnb.method()
        def work(self, n: int) -> int:
            return n

    with pytest.raises(ContainerLostError, match=r"not ready within 1 s \(startup_timeout\)"):
        Model().work.remote(1)
    wait_until(lambda: not any(map(psutil.pid_exists, marks.pids(tmp_path, "load")[:3])))
    assert Model().work.remote(2) == 2
