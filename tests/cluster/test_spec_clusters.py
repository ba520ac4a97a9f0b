"""Any SpecCluster hosts containers beside its own workers: local, over SSH, from a job queue."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

LOCAL = """
import dask
dask.config.set({{"distributed.worker.multiprocessing-method": "{method}"}})
from distributed import LocalCluster
cluster = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0", security={security})
"""
SSH = """
from distributed import SSHCluster
cluster = SSHCluster(
    ["127.0.0.1", "127.0.0.1"],
    connect_options={options},
    scheduler_options={{"host": "127.0.0.1", "port": 0, "dashboard_address": ":0"}},
    worker_options={{"host": "127.0.0.1"}},
)
"""
JOBS = """
from dask_jobqueue.local import LocalCluster
cluster = LocalCluster(
    cores=2,
    processes=2,
    memory="1 GB",
    scheduler_options={"host": "127.0.0.1", "dashboard_address": ":0"},
    worker_extra_args=["--host", "127.0.0.1"],
)
"""
#: Its containers leave their process ids in a folder, since a caller cannot ask while it waits.
APP = """
import os, time, modalnb
connection = modalnb.connect(cluster=cluster, cores=8)
app = modalnb.App("jobs")

@app.function(max_containers={maximum}, scaledown_window=1.0)
def work(x):
    open(os.path.join({folder!r}, str(os.getpid())), "w").close()
    time.sleep(0.05)
    return 2 * x
"""


@pytest.fixture(scope="module", params=["local", "local-tls", "ssh", "jobs"])
def host(request: pytest.FixtureRequest, make_peer: Any) -> Any:
    """A process with a `cluster` and no connection to it."""
    peer = make_peer()
    if request.param == "ssh":
        peer.do(SSH.format(options=request.getfixturevalue("ssh_options")))
    elif request.param == "jobs":
        peer.do(JOBS)
    else:
        is_tls = request.param == "local-tls"
        method = "forkserver" if is_tls else "spawn"
        peer.do(LOCAL.format(security=True if is_tls else None, method=method))
    return peer


@pytest.fixture
def pids(tmp_path: Path) -> Any:
    """Gives the process ids of all containers that have worked so far."""
    return lambda: {int(file.name) for file in tmp_path.iterdir()}


@pytest.fixture
def connected(host: Any, tmp_path: Path, pids: Any, wait_until: Any) -> Iterator[Any]:
    """The host, connected to its cluster, with a function; nothing of it stays."""
    host.do(APP.format(folder=str(tmp_path), maximum=2))
    yield host
    host.do("connection.close()")
    wait_until(lambda: not any(_is_alive(pid) for pid in pids()))


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_pool_grows_from_zero_to_its_maximum_and_shrinks_back(
    connected: Any, pids: Any, wait_until: Any
) -> None:
    assert connected.get("len(work.snapshot().containers)") == 0
    assert connected.get("list(work.map(range(100)))") == [2 * i for i in range(100)]
    assert 1 <= len(pids()) <= 2
    wait_until(lambda: connected.get("len(work.snapshot().containers)") == 0)
    wait_until(lambda: not any(_is_alive(pid) for pid in pids()))
    assert connected.get("work.remote(4)") == 8


def test_killed_container_loses_nothing(connected: Any, pids: Any, wait_until: Any) -> None:
    answer = connected.begin("list(work.map(range(100)))")
    wait_until(pids)
    os.kill(min(pids()), signal.SIGKILL)
    assert answer() == [2 * i for i in range(100)]
    assert len(pids()) >= 2


def test_workers_of_the_cluster_are_not_touched(host: Any, tmp_path: Path, pids: Any) -> None:
    """Nor do they run inputs; after `close` the cluster is as it was."""
    host.do(
        "import os; from distributed import Client\n"
        "cluster.scale(max(1, len(cluster.worker_spec)))\n"
        "client = Client(cluster)\n"
        "client.wait_for_workers(1)\n"
        "wanted = set(cluster.worker_spec)\n"
    )
    before = host.get("sorted(client.run(os.getpid).values())")
    assert before
    host.do(APP.format(folder=str(tmp_path), maximum=1))
    assert host.get("list(work.map(range(20)))") == [2 * i for i in range(20)]
    host.do("connection.close()")
    assert pids().isdisjoint(before)
    assert host.get("set(cluster.worker_spec) == wanted")
    after = host.get("sorted(client.run(os.getpid).values())")
    assert set(before) <= set(after)
    assert host.get("client.submit(sum, [1, 2]).result(10)") == 3


def test_second_process_uses_the_containers_of_the_first(connected: Any, make_peer: Any) -> None:
    connected.do("work.update_autoscaler(max_containers=1)")
    assert connected.get("work.remote(1)") == 2
    second = make_peer()
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    parts = connected.get(f"{{name: getattr(cluster.security, name) for name in {names}}}")
    second.do(f"import modalnb; from distributed import Security; parts = {parts!r}")
    second.do(
        "security = Security(require_encryption=True, **parts) if parts['tls_ca_file'] else None"
    )
    address = connected.get("cluster.scheduler_address")
    second.do(f"modalnb.connect({address!r}, security=security)")
    second.do("work = modalnb.Function.from_name('jobs', 'work')")
    assert second.get("list(work.map(range(20)))") == [2 * i for i in range(20)]
    second.do("app = modalnb.App('own'); f = app.function(name='f')(lambda x: x + 1)")
    assert second.get("f.remote(1)") == 2
    second.close()
    assert connected.get("work.remote(2)") == 4
