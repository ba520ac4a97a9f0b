"""The panel of GPUs beside a driver that tells, errs, loses a device, is sliced, hangs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import modalnb
from modalnb.notebook.mode import VARIABLE
from tests.nvml.driver import LOST, Driver, Gpu

Wait = Callable[..., None]
HOST = os.uname().nodename


@pytest.fixture
def board(gpu_engine: Driver, monkeypatch: pytest.MonkeyPatch, wait_until: Wait) -> Iterator[Any]:
    """The dashboard of an app whose one container has a T4."""
    gpu_engine.reset()
    monkeypatch.setenv(VARIABLE, "text")
    app = modalnb.App("panel-app")

    @app.function(gpu="T4")
    def use() -> None: ...

    use.hydrate()
    wait_until(lambda: "GPU-small" in {device.uuid for device in app.snapshot().devices})
    use.remote()
    board = app.dashboard()
    yield board
    board.close()
    app.stop()


def test_panel_tells_use_and_container_of_each_device(
    board: Any, gpu_engine: Driver, wait_until: Wait
) -> None:
    gpu_engine.gpus[2].rate, gpu_engine.gpus[2].used = 83, 2_048
    gpu_engine.write()
    busy = f"GPU 2 Tesla T4 on {HOST} | 83 % | 2,048 MiB of 15.0 GiB | ta-use-"
    wait_until(lambda: busy in board.to_text())
    assert f"GPU 0 NVIDIA L40S on {HOST} | 7 % | 512 MiB of 45.0 GiB | free" in board.to_text()


def test_panel_tells_a_lost_device_beside_the_others(
    board: Any, gpu_engine: Driver, wait_until: Wait
) -> None:
    gpu_engine.gpus[0].code = LOST
    gpu_engine.write()
    wait_until(lambda: f"GPU 0 NVIDIA L40S on {HOST} | GPU is lost" in board.to_text())
    assert f"GPU 1 NVIDIA L40S on {HOST} | 7 %" in board.to_text()


def test_panel_tells_slices(board: Any, gpu_engine: Driver, wait_until: Wait) -> None:
    name = "NVIDIA A100-SXM4-40GB"
    slices = [Gpu("MIG-a", name=f"{name} MIG 1g.5gb", total=4_864, used=64)]
    gpu_engine.gpus = [Gpu("GPU-whole", name=name, slices=slices)]
    gpu_engine.write()
    line = f"GPU 0 {name} MIG 1g.5gb on {HOST} | – | 64 MiB of 4,864 MiB | free"
    wait_until(lambda: line in board.to_text())


def test_panel_goes_on_beside_a_driver_that_hangs(
    board: Any, gpu_engine: Driver, wait_until: Wait
) -> None:
    gpu_engine.write("hang")
    wait_until(lambda: "the NVIDIA driver has not answered for" in board.to_text())
    began = time.monotonic()
    shown = board.to_text()
    assert time.monotonic() - began < 1
    assert "use: 1 container" in shown
    assert "512 MiB" not in shown
    gpu_engine.reset()
    wait_until(lambda: "512 MiB of 45.0 GiB" in board.to_text())
