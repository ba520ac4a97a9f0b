"""What cannot be connected to is said in one sentence, in bounded time, without tracebacks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TLS_HOST = """
from distributed import LocalCluster, Security
cluster = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0", security=True)
"""


@pytest.fixture(scope="module")
def host(make_peer: Any) -> Any:
    """A process with a scheduler that wants certificates."""
    peer = make_peer()
    peer.do(TLS_HOST)
    return peer


@pytest.fixture(scope="module")
def unconnected(make_peer: Any) -> Any:
    """A process that fails to connect again and again."""
    peer = make_peer()
    peer.do("import modalnb; from distributed import LocalCluster, Security")
    peer.do("import modalnb.cluster.session as session; session.CONNECT_SECONDS = 2.0")
    return peer


@pytest.fixture
def client(unconnected: Any) -> Iterator[Any]:
    """That process; it must not print anything."""
    yield unconnected
    unconnected.do("import gc; gc.collect()")
    assert unconnected.printed() == ""


@pytest.fixture
def newer_client(make_peer: Any) -> Any:
    """A process whose modalnb speaks a protocol of the future."""
    peer = make_peer()
    peer.do("import modalnb, modalnb.messages; modalnb.messages.PROTOCOL = 99")
    return peer


@pytest.fixture
def make_listener() -> Iterator[Callable[[bytes], str]]:
    """Starts TCP servers that say the same to everybody and then nothing more."""
    listeners: list[socket.socket] = []

    def make(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"

    def serve(listener: socket.socket, answer: bytes) -> None:
        accepted = []
        while True:
            try:
                accepted.append(listener.accept()[0])
            except OSError:
                break
            accepted[-1].sendall(answer)
        for connection in accepted:
            connection.close()

    yield make
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _refusal(client: Any, order: str) -> tuple[str, str]:
    with pytest.raises(client.Error) as caught:
        client.get(order, seconds=25)
    assert len(caught.value.text.splitlines()) == 1
    return caught.value.kind, caught.value.text


def test_address_where_nobody_listens(client: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kind, text = _refusal(client, f"modalnb.connect('tcp://127.0.0.1:{port}')")
    assert kind == "ConnectionError"
    assert text.startswith(f"No Dask scheduler lets us in at tcp://127.0.0.1:{port} (")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
def test_peer_that_is_no_scheduler(client: Any, make_listener: Any, answer: bytes) -> None:
    kind, text = _refusal(client, f"modalnb.connect({make_listener(answer)!r})")
    assert kind == "ConnectionError"
    assert "No Dask scheduler lets us in" in text


@pytest.mark.parametrize("security", ["None", "Security.temporary()"])
def test_wrong_credentials(client: Any, host: Any, security: str) -> None:
    address = host.get("cluster.scheduler_address")
    kind, text = _refusal(client, f"modalnb.connect({address!r}, security={security})")
    assert kind == "ConnectionError"
    assert text.endswith("that the credentials are those of the scheduler.")


def test_plain_client_of_a_scheduler_with_tls(client: Any, host: Any) -> None:
    address = host.get("cluster.scheduler_address").replace("tls://", "tcp://")
    kind, text = _refusal(client, f"modalnb.connect({address!r})")
    assert kind == "ConnectionError"
    assert "No Dask scheduler lets us in" in text


@pytest.mark.parametrize(
    ("order", "kind", "text"),
    [
        ("modalnb.connect('nonsense://x')", "ConnectionError", "No Dask scheduler lets us in"),
        ("modalnb.connect('tcp://127.0.0.1')", "ConnectionError", "No Dask scheduler lets us in"),
        ("modalnb.connect(5)", "InvalidError", "`address` must be a str; got 5."),
        (
            "modalnb.connect('tls://127.0.0.1:1', security='me')",
            "InvalidError",
            "`security` must be a distributed.Security; got 'me'.",
        ),
        ("modalnb.connect('tcp://x:1', cluster=3)", "InvalidError", "not both"),
        ("modalnb.connect(cluster=3)", "ExecutionError", "int is not a SpecCluster"),
    ],
)
def test_arguments_that_are_no_address(client: Any, order: str, kind: str, text: str) -> None:
    found = _refusal(client, order)
    assert found[0] == kind
    assert text in found[1]


def test_scheduler_without_modalnb(client: Any, make_peer: Any) -> None:
    host = make_peer()
    host.do("import sys; sys.modules['modalnb'] = None")
    host.do("from distributed import LocalCluster")
    host.do("cluster = LocalCluster(n_workers=0, host='127.0.0.1', dashboard_address=':0')")
    kind, text = _refusal(client, f"modalnb.connect({host.get('cluster.scheduler_address')!r})")
    assert kind == "ConnectionError"
    assert text.endswith("Install the same version of modalnb there and on its workers.")


def test_other_protocol_version_of_a_scheduler(newer_client: Any, make_peer: Any) -> None:
    host = make_peer()
    host.do("import modalnb; from distributed import LocalCluster")
    host.do("cluster = LocalCluster(n_workers=0, host='127.0.0.1', dashboard_address=':0')")
    host.do("modalnb.connect(cluster=cluster)")
    kind, text = _refusal(
        newer_client, f"modalnb.connect({host.get('cluster.scheduler_address')!r})"
    )
    assert kind == "VersionError"
    assert "speaks protocol 99, the engine speaks" in text


def test_other_protocol_version_of_an_engine(newer_client: Any, make_peer: Any) -> None:
    host = make_peer()
    host.do("import modalnb; app = modalnb.App('a'); f = app.function(name='f')(lambda: 5)")
    assert host.get("f.remote()") == 5
    kind, text = _refusal(newer_client, "modalnb.connect()")
    assert kind == "VersionError"
    assert text.endswith("Use the same version of modalnb on both sides.")


def test_cluster_whose_workers_are_threads_here(client: Any) -> None:
    client.do("cluster = LocalCluster(n_workers=0, processes=False, dashboard_address=':0')")
    kind, text = _refusal(client, "modalnb.connect(cluster=cluster)")
    assert kind == "ConnectionError"
    assert text.endswith("Create it with `processes=True`.")


def test_cluster_that_is_closed(client: Any) -> None:
    client.do("cluster = LocalCluster(n_workers=0, host='127.0.0.1', dashboard_address=':0')")
    client.do("cluster.close()")
    assert _refusal(client, "modalnb.connect(cluster=cluster)") == (
        "ExecutionError",
        "The LocalCluster is closed. Create another one.",
    )


def test_cluster_on_the_loop_of_the_caller(client: Any) -> None:
    client.do(
        "import asyncio\n"
        "async def connect(call):\n"
        "    async with LocalCluster(\n"
        "        n_workers=0, host='127.0.0.1', dashboard_address=':0', asynchronous=True\n"
        "    ) as cluster:\n"
        "        return await call(cluster)\n"
        "async def block(cluster):\n"
        "    modalnb.connect(cluster=cluster)\n"
        "async def aside(cluster):\n"
        "    connection = await asyncio.to_thread(modalnb.connect, cluster=cluster)\n"
        "    app = modalnb.App('a')\n"
        "    result = await app.function(name='f')(lambda: 5).remote.aio()\n"
        "    await asyncio.to_thread(connection.close)\n"
        "    return result\n"
    )
    kind, text = _refusal(client, "asyncio.run(connect(block))")
    assert kind == "ExecutionError"
    assert "await asyncio.to_thread(modalnb.connect, cluster=cluster)" in text
    assert client.get("asyncio.run(connect(aside))") == 5
