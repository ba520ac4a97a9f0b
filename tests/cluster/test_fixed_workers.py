"""A plain scheduler with two workers of somebody else's: leased, given back, never ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

HOST = """
import os
from distributed import LocalCluster
cluster = LocalCluster(
    n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0", security=True
)
names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
parts = {name: getattr(cluster.security, name) for name in names}
"""
CLIENT = """
import os, threading, time, modalnb
from distributed import Security
security = Security(require_encryption=True, **{parts!r})
connection = modalnb.connect({address!r}, security=security)
app = modalnb.App({app!r})

def note(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    return os.getpid()

@app.function(scaledown_window=60)
def long(x):
    time.sleep(0.05)
    return note({folder!r})

@app.function(scaledown_window=60)
def short(x):
    return note({folder!r})
"""


@pytest.fixture(scope="module")
def host(make_peer: Any) -> Any:
    """A process that has a scheduler and two workers, and knows nothing of modalnb."""
    peer = make_peer()
    peer.do(HOST)
    return peer


@pytest.fixture
def make_client(host: Any, make_peer: Any, tmp_path: Path) -> Iterator[Any]:
    """Starts processes that are connected to the scheduler by its address."""
    address, parts = host.get("cluster.scheduler_address"), host.get("parts")
    peers = []

    def make(app: str) -> Any:
        peers.append(make_peer())
        peers[-1].do(CLIENT.format(parts=parts, address=address, app=app, folder=str(tmp_path)))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


@pytest.fixture
def client(make_client: Any) -> Any:
    """A process that is connected to the scheduler."""
    return make_client("own")


@pytest.fixture
def workers(host: Any, wait_until: Any) -> Any:
    """The process ids of the two workers."""
    wait_until(lambda: len(_workers(host)) == 2)
    return _workers(host)


def _workers(host: Any) -> set[int]:
    """Processes of workers: below the host, with a connection of their own."""
    below = psutil.Process(host.process.pid).children(recursive=True)
    return {process.pid for process in below if process.is_running() and process.net_connections()}


def test_workers_become_containers_and_none_is_started_or_ended(
    client: Any, host: Any, workers: set[int]
) -> None:
    assert set(client.get("list(long.map(range(60)))")) == workers
    assert client.get("long.snapshot().room") == 2
    client.do("connection.close()")
    assert _workers(host) == workers


def test_two_functions_share_two_workers(client: Any, workers: set[int], wait_until: Any) -> None:
    client.do("first = threading.Thread(target=lambda: list(long.map(range(200)))); first.start()")
    wait_until(lambda: client.get("long.snapshot().count('busy')") == 2)
    assert client.get("short.remote(1)") in workers
    assert client.get("first.is_alive()")
    client.do("first.join()")


def test_idle_worker_is_given_back_early_when_another_function_lacks_one(
    client: Any, workers: set[int], wait_until: Any
) -> None:
    """The scaledown window is a minute."""
    client.get("list(long.map(range(60)))")
    assert client.get("long.snapshot().count('idle')") == 2
    assert client.get("short.remote(1)") in workers
    assert client.get("long.snapshot().count('idle')") < 2


def test_worker_that_dies_loses_nothing(
    client: Any, host: Any, workers: set[int], tmp_path: Path, wait_until: Any
) -> None:
    """Its own cluster starts it again, and it is leased again."""
    answer = client.begin("[x for x in long.map(range(100))]")
    wait_until(lambda: list(tmp_path.iterdir()))
    os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
    assert len(answer()) == 100
    wait_until(lambda: len(_workers(host)) == 2)
    wait_until(lambda: client.get("long.snapshot().room") == 2)


def test_client_that_stays_takes_over_from_the_one_that_leaves(
    make_client: Any, workers: set[int]
) -> None:
    first = make_client("first")
    assert first.get("long.remote(1)") in workers
    second = make_client("second")
    assert second.get("long.remote(1)") in workers
    first.process.kill()
    assert set(second.get("list(short.map(range(20)))")) <= workers
    assert second.get("long.remote(1)") in workers
