"""Fixtures of all tests: one engine for the suite, one app for a test, nothing left behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

import modalnb
from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.cluster import session as sessions
from tests.nvml.driver import Driver, build

DEADLINE = 30.0

# Properties are tried on the same examples in every run, however slow the machine.
settings.register_profile(
    "modalnb",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("modalnb")


def wait_until(condition: Callable[[], object], *, seconds: float = DEADLINE) -> None:
    """Wait for a condition; fail with its last value when it does not come true in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    value = condition()
    while not value:
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        pause.wait(0.02)
        value = condition()


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """One engine for all tests that need any; afterwards no process of it is left."""
    others = set(psutil.Process().children(recursive=True))
    current.stub()
    yield
    children = set(psutil.Process().children(recursive=True)) - others
    current.close()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"processes left behind: {alive}"


@pytest.fixture
def app(engine: None) -> Iterator[modalnb.App]:
    """An app of its own; after the test its state is checked and its containers leave."""
    app = modalnb.App("test-app")
    yield app
    ask(current.stub(), "validate")
    app.stop()


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture() -> Callable[..., None]:
    """:func:`wait_until` for tests."""
    return wait_until


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tests' own NVIDIA library."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def driver(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """A driver without devices, for processes that are started with its ``env``."""
    return Driver(nvml_library, tmp_path_factory.mktemp("driver") / "script")


@pytest.fixture(scope="module")
def gpu_engine(driver: Driver) -> Iterator[Driver]:
    """An engine on a machine with two L40S and a T4; the tests may change what its driver says."""
    driver.reset()
    with start_engine(driver):
        yield driver


@contextlib.contextmanager
def start_engine(driver: Driver, **config: object) -> Iterator[None]:
    """An engine on a machine with this driver, in the place of the usual one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in driver.env.items():
            patch.setenv(name, value)
        for name, setting in config.items():
            patch.setitem(modalnb.config._values, name, setting)
        current.use(sessions.start_embedded())
    yield
    current.close()
