"""``cpu`` and ``memory`` of containers, in real ones; one test a rule."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import modalnb
from modalnb.exception import ContainerLostError, InvalidError, ResourceUnavailableError

Wait = Callable[..., None]
MIB = 2**20


def hold(mebibytes: int, gate: Path | None = None) -> int:
    """Use so much memory, for as long as the gate is closed, or half a second."""
    block = bytearray(mebibytes * MIB)
    block[::4096] = b"x" * len(block[::4096])
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline or (gate is not None and not gate.exists()):
        time.sleep(0.01)
    return os.getpid()


def test_container_above_its_memory_limit_is_ended_and_the_error_says_so(app: modalnb.App) -> None:
    use = app.function(memory=(64, 256), name="use")(hold)
    with pytest.raises(ContainerLostError) as caught:
        use.remote(800)
    assert len(caught.value.losses) == 1
    assert "MiB, more than its memory limit of 256 MiB" in caught.value.losses[0]
    assert str(caught.value).startswith("`use` lost its container 1 time, so")


def test_only_the_offender_is_ended(app: modalnb.App, tmp_path: Path, wait_until: Wait) -> None:
    gate = tmp_path / "gate"
    use = app.function(memory=(64, 256), cpu=0.1, name="use")(hold)
    other = app.function(name="other")(hold)
    small = [use.spawn(1, gate), other.spawn(1, gate)]
    wait_until(lambda: use.snapshot().running == other.snapshot().running == 1)
    pids = [function.snapshot().containers[0].pid for function in (use, other)]
    with pytest.raises(ContainerLostError, match="more than its memory limit of 256 MiB"):
        use.remote(800)
    gate.touch()
    assert [call.get() for call in small] == pids


def test_input_in_a_used_container_gets_another_chance_before_it_is_blamed(
    app: modalnb.App,
) -> None:
    use = app.function(memory=(64, 256), max_containers=1, name="use")(hold)
    use.remote(1)
    with pytest.raises(ContainerLostError) as caught:
        use.remote(800)
    assert len(caught.value.losses) == 2


def test_processes_that_a_container_starts_count_and_end_with_it(
    app: modalnb.App, tmp_path: Path, wait_until: Wait
) -> None:
    note = tmp_path / "pid"

    @app.function(memory=(64, 300))
    def start() -> None:
        code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid()));"
        code += "x = b'x' * 600 * 2**20; time.sleep(60)"
        subprocess.run([sys.executable, "-c", code], check=True)

    with pytest.raises(ContainerLostError, match="more than its memory limit of 300 MiB"):
        start.remote()
    wait_until(lambda: not psutil.pid_exists(int(note.read_text())))


def test_memory_requests_bound_the_containers_of_all_functions_together(app: modalnb.App) -> None:
    @app.function()
    def usual() -> None: ...

    usual.hydrate()
    room = usual.snapshot().room
    assert room is not None
    total = room * (modalnb.config.memory_per_container // MIB)

    @app.function(memory=total // 3)
    def large() -> None: ...

    large.remote()
    assert large.snapshot().room == 3
    left = usual.snapshot().room
    assert left is not None
    assert left < room * 3 // 4


def test_memory_that_no_machine_has_fails_at_once(app: modalnb.App) -> None:
    @app.function(memory=2**30)
    def vast() -> None: ...

    with pytest.raises(ResourceUnavailableError) as caught:
        vast.remote()
    assert str(caught.value).startswith(
        "`vast` asks for 1,073,741,824 MiB of memory in each container, but this machine has "
    )


def test_libraries_start_as_many_threads_as_cores_were_asked_for(app: modalnb.App) -> None:
    @app.function(cpu=2.5)
    def threads() -> list[str | None]:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return [os.environ.get(name) for name in names]

    assert threads.remote() == ["3"] * 3


def test_numpy_uses_as_many_threads_as_cores_were_asked_for(app: modalnb.App) -> None:
    @app.function(cpu=2)
    def threads() -> set[int]:
        import numpy  # noqa: F401
        import threadpoolctl

        return {library["num_threads"] for library in threadpoolctl.threadpool_info()}

    assert threads.remote() == {min(2, os.cpu_count() or 1)}


def test_cpu_limit_keeps_a_container_to_so_many_cores(app: modalnb.App) -> None:
    @app.function(cpu=(0.5, 1))
    def cores() -> int:
        return len(os.sched_getaffinity(0))

    @app.function(cpu=0.5)
    def free() -> int:
        return len(os.sched_getaffinity(0))

    assert (cores.remote(), free.remote()) == (1, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"memory": (512, 256)}, "`memory` limit (256) cannot be less than its request (512)."),
        ({"memory": "1Gi"}, "`memory` must be an int of MiB; got '1Gi'."),
        ({"cpu": (2, 1)}, "`cpu` limit (1) cannot be less than its request (2)."),
        ({"cpu": -1}, "`cpu` must be above 0 cores; got -1."),
    ],
)
def test_wrong_request_is_an_error_of_the_decorator(
    app: modalnb.App, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        app.function(**values)
    assert str(caught.value).startswith(message)


def test_other_limits_mean_other_containers(app: modalnb.App) -> None:
    first = app.function(memory=128, name="use")(hold).remote(1)
    with pytest.warns(UserWarning, match="defined twice"):
        use = app.function(memory=(128, 256), name="use")(hold)
    assert use.remote(1) != first
