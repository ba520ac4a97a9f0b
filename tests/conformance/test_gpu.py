"""GPUs as a resource, on an engine whose driver is the tests' own; one test a rule."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import modalnb
from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.exception import (
    ExecutionError,
    InvalidError,
    ResourceUnavailableError,
    UnsupportedWarning,
)
from modalnb.snapshot import DeviceStats
from tests.nvml.driver import LOST, Driver, Gpu

Wait = Callable[..., None]


@pytest.fixture
def app(gpu_engine: Driver, wait_until: Wait) -> Iterator[modalnb.App]:
    """An app on the engine, whose devices are well."""
    gpu_engine.reset()
    app = modalnb.App("gpu-app")
    app.function(name="plain")(visible).hydrate()
    wait_until(lambda: {uuid: d.error for uuid, d in devices(app).items()} == WELL)
    wait_until(lambda: not any(holders(app).values()))
    yield app
    ask(current.stub(), "validate")
    app.stop()


WELL = {"GPU-one": None, "GPU-two": None, "GPU-small": None}


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Functions wait until this file is there."""
    return tmp_path / "gate"


def visible(gate: Path | None = None) -> tuple[str | None, int]:
    """What CUDA would see, and the process; waits for the gate first."""
    while gate is not None and not gate.exists():
        time.sleep(0.01)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()


def devices(app: modalnb.App) -> dict[str, DeviceStats]:
    return {device.uuid: device for device in app.snapshot().devices}


def holders(app: modalnb.App) -> dict[str, str | None]:
    return {uuid: device.container_id for uuid, device in devices(app).items()}


# -- who gets what -------------------------------------------------------------------------


def test_each_container_has_its_own_device_and_inputs_wait_for_the_others(
    app: modalnb.App, gate: Path, wait_until: Wait
) -> None:
    see = app.function(gpu="L40S", cpu=0.1, name="see")(visible)
    calls = [see.spawn(gate) for _ in range(3)]
    wait_until(lambda: see.snapshot().running == 2)
    pool = see.snapshot()
    assert pool.pending == 1
    assert sorted(container.gpus for container in pool.containers) == [("GPU-one",), ("GPU-two",)]
    wait_until(lambda: "capped by 0 free L40S beside 2 in use: 2" in see.snapshot().reason)
    assert sum(holder is not None for holder in holders(app).values()) == 2
    gate.touch()
    seen = [call.get() for call in calls]
    assert {uuid for uuid, _ in seen} == {"GPU-one", "GPU-two"}
    assert len({pid for _, pid in seen}) == 2


def test_device_comes_back_when_its_container_dies(
    app: modalnb.App, gate: Path, wait_until: Wait
) -> None:
    see = app.function(gpu="L40S", cpu=0.1, name="see")(visible)
    calls = [see.spawn(gate) for _ in range(3)]
    wait_until(lambda: see.snapshot().running == 2)
    victim = see.snapshot().containers[0]
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)

    def has_recovered() -> bool:
        pool = see.snapshot()
        return pool.running == 2 and victim.pid not in {c.pid for c in pool.containers}

    wait_until(has_recovered)
    assert {c.gpus for c in see.snapshot().containers} == {("GPU-one",), ("GPU-two",)}
    gate.touch()
    assert {call.get()[0] for call in calls} == {"GPU-one", "GPU-two"}


def test_device_comes_back_when_its_container_leaves(app: modalnb.App, wait_until: Wait) -> None:
    see = app.function(gpu="T4", scaledown_window=0, name="see")(visible)
    assert see.remote()[0] == "GPU-small"
    wait_until(lambda: not any(holders(app).values()))


def test_idle_container_yields_its_device_to_another_function(app: modalnb.App) -> None:
    first = app.function(gpu="T4", name="first")(visible)
    second = app.function(gpu="T4", name="second")(visible)
    assert first.remote()[0] == second.remote()[0] == "GPU-small"


def test_nested_call_waits_for_the_device_that_another_function_uses(
    app: modalnb.App, gate: Path, wait_until: Wait
) -> None:
    busy = app.function(gpu="T4", name="busy")(visible)
    inner = app.function(gpu="T4", name="inner")(visible)

    @app.function()
    def outer() -> Any:
        return inner.remote()

    first = busy.spawn(gate)
    wait_until(lambda: busy.snapshot().running == 1)
    call = outer.spawn()
    wait_until(lambda: inner.snapshot().pending == 1)
    # Calls that wait for themselves are failed at the second look, one second after the first.
    with pytest.raises(TimeoutError):
        call.get(timeout=2.5)
    gate.touch()
    assert (first.get()[0], call.get()[0]) == ("GPU-small", "GPU-small")


def test_nested_call_that_needs_the_device_of_its_caller_fails(app: modalnb.App) -> None:
    inner = app.function(gpu="T4", name="inner")(visible)

    @app.function(gpu="T4")
    def outer() -> Any:
        return inner.remote()

    with pytest.raises(ExecutionError, match="`inner` waits for itself"):
        outer.remote()


def test_list_is_tried_in_order(app: modalnb.App) -> None:
    see = app.function(gpu=["H100", "t4", "any"], name="see")(visible)
    assert see.remote()[0] == "GPU-small"


def test_any_takes_whatever_there_is(app: modalnb.App) -> None:
    see = app.function(gpu="any", name="see")(visible)
    assert see.remote()[0] == "GPU-small"


def test_two_devices_for_one_container(app: modalnb.App) -> None:
    see = app.function(gpu="L40S:2", name="see")(visible)
    assert see.remote()[0] == "GPU-one,GPU-two"


def test_slice_is_a_device_of_its_own(
    app: modalnb.App, gpu_engine: Driver, gate: Path, wait_until: Wait
) -> None:
    name = "NVIDIA A100-SXM4-40GB"
    slices = [Gpu(f"MIG-{n}", name=f"{name} MIG 1g.5gb", total=4_864) for n in "ab"]
    gpu_engine.gpus = [Gpu("GPU-whole", name=name, total=40_960, slices=slices)]
    gpu_engine.write()
    wait_until(lambda: set(devices(app)) == {"MIG-a", "MIG-b"})
    assert devices(app)["MIG-a"].utilization is None
    see = app.function(gpu="MIG-1g.5gb", cpu=0.1, name="see")(visible)
    calls = [see.spawn(gate) for _ in range(2)]
    wait_until(lambda: see.snapshot().running == 2)
    gate.touch()
    assert {call.get()[0] for call in calls} == {"MIG-a", "MIG-b"}
    with pytest.raises(ResourceUnavailableError, match=r"there is 2 × MIG-1G.5GB on"):
        app.function(gpu="A100", name="whole")(visible).remote()


def test_container_of_a_function_without_gpu_sees_none(app: modalnb.App) -> None:
    assert app.registered_functions["plain"].remote()[0] == ""


class Witness:
    """Becomes, where it is unpickled, what the environment says there."""

    def __reduce__(self) -> Any:
        return os.getenv, ("CUDA_VISIBLE_DEVICES",)


def test_device_is_set_before_user_code_is_loaded(app: modalnb.App) -> None:
    witness = Witness()

    @app.function(gpu="T4")
    def seen() -> Any:
        return witness

    assert seen.remote() == "GPU-small"


def test_other_devices_mean_other_containers(app: modalnb.App, wait_until: Wait) -> None:
    see = app.function(gpu="L40S", name="see")(visible)
    _, pid = see.remote()
    with pytest.warns(UserWarning, match="defined twice"):
        see = app.function(gpu="T4", name="see")(visible)
    uuid, other = see.remote()
    assert (uuid, other != pid) == ("GPU-small", True)
    wait_until(lambda: sum(holder is not None for holder in holders(app).values()) == 1)


# -- where there is none -------------------------------------------------------------------


@pytest.mark.parametrize("call", ["remote", "spawn", "map", "spawn_map"])
def test_call_fails_at_once_and_says_what_there_is_and_the_ways_out(
    app: modalnb.App, call: str
) -> None:
    see = app.function(gpu=["H100:2", "A100-80GB"], name="see")(visible)
    calls: dict[str, Callable[[], Any]] = {
        "remote": see.remote,
        "spawn": see.spawn,
        "map": lambda: list(see.map([None] * 3)),
        "spawn_map": lambda: see.spawn_map([None] * 3),
    }
    with pytest.raises(ResourceUnavailableError) as caught:
        calls[call]()
    host = os.uname().nodename
    assert str(caught.value) == (
        "`see` asks for 2 × H100 or A100-80GB in each container, which no machine here has: "
        f"there is 2 × L40S on {host}, 1 × T4 on {host}. Declare it with `gpu=None`, or set "
        '`modalnb.config.gpu_fallback = "cpu"` (environment `MODALNB_GPU_FALLBACK=cpu`) to run '
        "it without."
    )
    pool = see.snapshot()
    assert (pool.pending, pool.running, len(pool.containers)) == (0, 0, 0)


def test_fallback_runs_without_and_warns_once(
    app: modalnb.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(modalnb.config._values, "gpu_fallback", "cpu")
    see = app.function(gpu="B200", name="see")(visible)
    with pytest.warns(UnsupportedWarning) as caught:
        seen = [see.remote()[0], see.remote()[0], *(uuid for uuid, _ in see.map([None] * 2))]
    assert seen == [""] * 4
    [warning] = caught
    assert str(warning.message).startswith("`see` asks for gpu=B200, but there is 2 × L40S on ")
    assert warning.filename == __file__


def test_fallback_is_not_used_where_there_is_the_device(
    app: modalnb.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(modalnb.config._values, "gpu_fallback", "cpu")
    assert app.function(gpu="T4", name="see")(visible).remote()[0] == "GPU-small"


def test_variant_may_ask_for_another_device(app: modalnb.App) -> None:
    see = app.function(gpu="H100", name="see")(visible)
    assert see.with_options(gpu="T4").remote()[0] == "GPU-small"


def test_bad_gpu_is_an_error_of_the_decorator(app: modalnb.App) -> None:
    with pytest.raises(InvalidError, match="The count of `gpu` must be an integer; got 'H100:X'"):
        app.function(gpu="H100:x")


# -- how they do ---------------------------------------------------------------------------


def test_snapshot_tells_utilization_and_memory_of_each_device(
    app: modalnb.App, gpu_engine: Driver, wait_until: Wait
) -> None:
    see = app.function(gpu="T4", name="see")(visible)
    see.remote()
    container = see.snapshot().containers[0].container_id
    gpu_engine.gpus[2].rate, gpu_engine.gpus[2].used = 83, 2_048
    gpu_engine.write()
    wait_until(lambda: devices(app)["GPU-small"].utilization == 83)
    assert devices(app)["GPU-small"] == DeviceStats(
        host=os.uname().nodename,
        index=2,
        uuid="GPU-small",
        name="Tesla T4",
        utilization=83,
        memory_used=2_048 * 2**20,
        memory_total=15_360 * 2**20,
        container_id=container,
    )
    assert devices(app)["GPU-one"].container_id is None


def test_lost_device_is_told_and_not_given_away(
    app: modalnb.App, gpu_engine: Driver, wait_until: Wait
) -> None:
    gpu_engine.gpus[2].code = LOST
    gpu_engine.write()
    wait_until(lambda: devices(app)["GPU-small"].error == "GPU is lost")
    assert devices(app)["GPU-small"].utilization is None
    see = app.function(gpu="T4", name="see")(visible)
    with pytest.raises(ResourceUnavailableError, match=r"1 × T4 on \S+ \(GPU is lost\)"):
        see.remote()
    gpu_engine.reset()
    wait_until(lambda: devices(app)["GPU-small"].error is None)
    assert see.remote()[0] == "GPU-small"


def test_driver_that_hangs_stops_nothing(
    app: modalnb.App, gpu_engine: Driver, wait_until: Wait
) -> None:
    see = app.function(gpu="T4", name="see")(visible)
    see.remote()
    gpu_engine.write("hang")
    wait_until(lambda: "has not answered for" in (devices(app)["GPU-small"].error or ""))
    began = time.monotonic()
    assert (see.remote()[0], app.registered_functions["plain"].remote()[0]) == ("GPU-small", "")
    snapshot = app.snapshot()
    assert time.monotonic() - began < 5
    assert "the NVIDIA driver has not answered for" in snapshot.device_errors[0]
    assert all(device.utilization is None for device in snapshot.devices)
    gpu_engine.reset()
    wait_until(lambda: app.snapshot().device_errors == ())
    assert devices(app)["GPU-one"].utilization == 7


def test_driver_that_crashes_stops_nothing(
    app: modalnb.App, gpu_engine: Driver, wait_until: Wait
) -> None:
    see = app.function(gpu="T4", name="see")(visible)
    gpu_engine.write("crash")
    wait_until(lambda: app.snapshot().device_errors)
    assert "the NVIDIA driver crashed when it was asked" in app.snapshot().device_errors[0]
    gpu_engine.reset()
    wait_until(lambda: app.snapshot().device_errors == ())
    assert see.remote()[0] == "GPU-small"
