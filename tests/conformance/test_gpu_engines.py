"""Engines that meet special drivers when they start; each test has its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

import modalnb
from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.exception import ResourceUnavailableError
from tests.conftest import start_engine
from tests.nvml.driver import Driver


def visible() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_spare_process_gets_its_device_when_it_is_given_away(
    driver: Driver, wait_until: Callable[..., None]
) -> None:
    driver.reset()
    with start_engine(driver, spare=True):
        app = modalnb.App("spare-app")
        app.function(name="other")(visible).remote()
        wait_until(lambda: ask(current.stub(), "pools")["unassigned"])
        [spare] = ask(current.stub(), "pools")["unassigned"]
        see = app.function(gpu="T4", name="see")(visible)
        assert see.remote() == "GPU-small"
        assert see.snapshot().containers[0].container_id == spare


def test_engine_starts_beside_a_driver_that_hangs(driver: Driver) -> None:
    driver.write("hang")
    began = time.monotonic()
    with start_engine(driver):
        assert time.monotonic() - began < 15
        app = modalnb.App("hanging-app")
        assert app.function(name="plain")(visible).remote() is None
        with pytest.raises(ResourceUnavailableError, match=r"there is no GPU; .* has not answered"):
            app.function(gpu="any", name="see")(visible).remote()


def test_machine_without_a_driver_has_no_devices() -> None:
    current.close()
    app = modalnb.App("plain-app")
    plain = app.function(name="plain")(visible)
    assert plain.remote() == os.environ.get("CUDA_VISIBLE_DEVICES")
    assert (app.snapshot().devices, app.snapshot().device_errors) == ((), ())
    with pytest.raises(ResourceUnavailableError, match="no machine here has: there is no GPU"):
        app.function(gpu="any", name="see")(visible).remote()
    current.close()
