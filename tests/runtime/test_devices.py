"""What a driver says, as a process that asks it gets to know; the driver is the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.nvml.driver import LOST, Driver, Gpu

#: Reads the devices as often as it is told to, in a process that has the library from its start.
CODE = """
import asyncio, json, sys
from modalnb.runtime import devices

async def main():
    reader = devices.DeviceReader()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        reading = await reader.read(float(line))
        print(json.dumps([reading.devices, reading.error]), flush=True)
    reader.close()

devices.IDLE_SECONDS = 0.3
asyncio.run(main())
"""


class Asker:
    """A process that reads the devices."""

    def __init__(self, driver: Driver, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **driver.env, **env},
            text=True,
        )

    def read(self, seconds: float = 10.0) -> tuple[list[dict[str, Any]], str | None]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(seconds, file=self.process.stdin, flush=True)
        devices, error = json.loads(self.process.stdout.readline())
        return devices, error

    @property
    def helpers(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children())

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *exc: object) -> None:
        helpers = self.helpers
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0
        _, alive = psutil.wait_procs(helpers, timeout=10)
        assert not alive


def test_reading_has_all_that_the_driver_tells(driver: Driver) -> None:
    driver.gpus = [Gpu("GPU-a", name="NVIDIA H100 80GB HBM3", total=81_559, used=1_024, rate=37)]
    driver.write()
    with Asker(driver) as asker:
        assert asker.read() == (
            [
                {
                    "index": 0,
                    "uuid": "GPU-a",
                    "name": "NVIDIA H100 80GB HBM3",
                    "error": None,
                    "memory_total": 81_559 * 2**20,
                    "memory_used": 1_024 * 2**20,
                    "utilization": 37,
                }
            ],
            None,
        )
        driver.gpus[0].rate = 99
        driver.write()
        assert asker.read()[0][0]["utilization"] == 99


def test_slices_stand_in_the_place_of_their_device(driver: Driver) -> None:
    slices = [Gpu(f"MIG-{n}", name="NVIDIA A100 MIG 1g.5gb", total=4_864) for n in range(2)]
    driver.gpus = [Gpu("GPU-a"), Gpu("GPU-b", name="NVIDIA A100-SXM4-40GB", slices=slices)]
    driver.write()
    with Asker(driver) as asker:
        devices, error = asker.read()
    assert [(d["index"], d["uuid"], d.get("utilization")) for d in devices] == [
        (0, "GPU-a", 7),
        (1, "MIG-0", None),
        (1, "MIG-1", None),
    ]
    assert error is None


def test_error_of_one_device_leaves_the_others_alone(driver: Driver) -> None:
    driver.gpus = [Gpu("GPU-a", code=LOST), Gpu("GPU-b"), Gpu("GPU-c", code=999)]
    driver.write()
    with Asker(driver) as asker:
        devices, error = asker.read()
    assert [d["error"] for d in devices] == ["GPU is lost", None, "Unknown Error"]
    assert (devices[1]["utilization"], error) == (7, None)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ("", []),
        ("-1", []),
        ("1", ["GPU-b"]),
        ("1,0", ["GPU-b", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("0,GPU-x,1", ["GPU-a"]),
        ("0,0", ["GPU-a"]),
    ],
)
def test_only_devices_that_the_environment_allows_are_read(
    driver: Driver, allowed: str, expected: list[str]
) -> None:
    driver.gpus = [Gpu("GPU-a"), Gpu("GPU-b")]
    driver.write()
    with Asker(driver, CUDA_VISIBLE_DEVICES=allowed) as asker:
        assert [device["uuid"] for device in asker.read()[0]] == expected


def test_driver_that_hangs_is_an_error_until_it_answers(driver: Driver) -> None:
    driver.gpus = [Gpu("GPU-a")]
    driver.write("hang")
    with Asker(driver) as asker:
        assert asker.read(0.1) == ([], "the NVIDIA driver has not answered for 0 s")
        driver.write()
        assert [device["uuid"] for device in asker.read()[0]] == ["GPU-a"]
        driver.write("hang")
        assert asker.read(0.1)[1] == "the NVIDIA driver has not answered for 0 s"


def test_driver_that_crashes_is_asked_anew(driver: Driver) -> None:
    driver.gpus = [Gpu("GPU-a")]
    driver.write("crash")
    with Asker(driver) as asker:
        assert asker.read() == ([], "the NVIDIA driver crashed when it was asked")
        driver.write("init\t9")
        assert asker.read() == ([], "Driver Not Loaded")
        driver.write()
        assert [device["uuid"] for device in asker.read()[0]] == ["GPU-a"]


def test_process_that_asks_leaves_when_nobody_wants_to_know(
    driver: Driver, wait_until: Callable[..., None]
) -> None:
    driver.gpus = []
    driver.write()
    with Asker(driver) as asker:
        assert asker.read() == ([], None)
        wait_until(lambda: not asker.helpers)
        assert asker.read() == ([], None)


def test_process_that_asks_dies_with_the_one_that_wanted_to_know(
    driver: Driver, wait_until: Callable[..., None]
) -> None:
    driver.write("hang")
    asker = Asker(driver)
    asker.read(0.1)
    [helper] = asker.helpers
    asker.process.kill()
    asker.process.communicate()
    psutil.wait_procs([helper], timeout=10)
    assert not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE
