"""Devices and memory limits of workers that Dask has started; the driver is the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import run_sshd
from tests.nvml.driver import Driver

CLUSTER = """
import os
from distributed import LocalCluster
cluster = LocalCluster(
    n_workers={workers},
    threads_per_worker=1,
    host="127.0.0.1",
    dashboard_address=":0",
    memory_limit=0,
)
"""
APP = """
import os, time, modalnb
connection = modalnb.connect({where})
app = modalnb.App("devices")

def visible(x):
    time.sleep(0.05)
    return os.environ.get("CUDA_VISIBLE_DEVICES")

see = app.function(gpu="L40S", name="see", cpu=0.1, scaledown_window={window})(visible)
plain = app.function(name="plain", scaledown_window={window})(visible)
missing = app.function(gpu="H100", name="missing")(visible)

def use(mebibytes):
    block = bytearray(mebibytes * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(3)

use = app.function(memory=(64, 400), name="use")(use)
"""


@pytest.fixture(scope="module")
def machine(driver: Driver) -> Driver:
    driver.reset()
    return driver


@pytest.fixture(scope="module")
def host(machine: Driver, make_peer: Any) -> Any:
    """A process that has a scheduler with two workers, and knows nothing of modalnb."""
    peer = make_peer("host", **machine.env)
    peer.do(CLUSTER.format(workers=2))
    return peer


@pytest.fixture
def client(host: Any, make_peer: Any) -> Iterator[Any]:
    """A process, on a machine without devices, that leases the workers."""
    peer = make_peer("client")
    address = host.get("cluster.scheduler_address")
    peer.do(APP.format(where=repr(address), window=60))
    yield peer
    peer.close()


def test_leased_workers_get_devices_and_give_them_back(
    client: Any, host: Any, machine: Driver, wait_until: Any
) -> None:
    assert set(client.get("list(see.map(range(60)))")) == {"GPU-one", "GPU-two"}
    assert client.get("plain.remote(1)") == ""
    machine.gpus[0].rate = 83
    machine.write()
    wait_until(
        lambda: (
            client.get("{d.uuid: d.utilization for d in app.snapshot().devices}")
            == {
                "GPU-one": 83,
                "GPU-two": 7,
                "GPU-small": 0,
            }
        )
    )
    client.do("app.stop()")
    host.do("from distributed import Client; watcher = Client(cluster)")
    seen = 'watcher.run(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"))'
    wait_until(lambda: set(host.get(f"list({seen}.values())")) == {None})
    # A process that has opened a device cannot open another one.
    assert set(client.get("list(see.map(range(60)))")) == {"GPU-one", "GPU-two"}


def test_device_that_no_worker_has_fails_at_once(client: Any) -> None:
    name = os.uname().nodename
    with pytest.raises(client.Error, match=f"H100 .* there is 2 × L40S on {name}") as caught:
        client.get("missing.remote(1)")
    assert caught.value.kind == "ResourceUnavailableError"


def test_leased_worker_above_the_memory_limit_ends_itself(client: Any) -> None:
    with pytest.raises(client.Error, match="more than its memory limit of 400 MiB") as caught:
        client.get("use.remote(1_000)")
    assert caught.value.kind == "ContainerLostError"
    assert client.get("plain.remote(1)") == ""


def test_local_cluster_tells_its_devices_before_it_has_workers(
    machine: Driver, make_peer: Any
) -> None:
    machine.reset()
    peer = make_peer("local", **machine.env)
    peer.do(CLUSTER.format(workers=0))
    peer.do(APP.format(where="cluster=cluster, cores=8", window=1))
    with pytest.raises(peer.Error, match="there is 2 × L40S on"):
        peer.get("missing.remote(1)")
    assert peer.get("see.remote(1)") == "GPU-one"
    assert peer.get("plain.remote(1)") == ""
    peer.do("connection.close()")
    peer.close()


SSH = """
import os
from distributed import SSHCluster
cluster = SSHCluster(
    ["127.0.0.1"] * 3,
    connect_options=[{plain}, {plain}, {equipped}],
    scheduler_options={{"host": "127.0.0.1", "port": 0, "dashboard_address": ":0"}},
    worker_options={{"host": "127.0.0.1"}},
)
"""


def test_container_comes_up_on_the_host_that_has_the_device(
    machine: Driver, make_peer: Any, ssh_options: dict[str, Any], tmp_path: Path
) -> None:
    """The second host is this machine under another name, and with devices."""
    rename = ("unshare", "--uts", "sh", "-c", 'hostname equipped && exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*rename, "true"], check=False).returncode:
        pytest.skip("another host cannot be had: run as root, where `unshare --uts` is allowed")
    machine.reset()
    with run_sshd(tmp_path, *rename, **machine.env) as equipped:
        peer = make_peer("ssh")
        peer.do(SSH.format(plain=ssh_options, equipped=equipped))
        peer.do(APP.format(where="cluster=cluster, cores=8", window=60))
        with pytest.raises(peer.Error, match="there is 2 × L40S on equipped, 1 × T4 on equipped"):
            peer.get("missing.remote(1)")
        assert set(peer.get("list(see.map(range(100)))")) <= {"GPU-one", "GPU-two"}
        ready = "[c.host for c in see.snapshot().containers if c.ready_at is not None]"
        assert set(peer.get(ready)) == {"equipped"}
        assert peer.get("see.snapshot().boot_failures") == 0, (
            peer.printed(),
            peer.get("list(map(str, see.explain()))"),
        )
        peer.do("connection.close(); cluster.close()")
        peer.close()
