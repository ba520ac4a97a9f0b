"""Closed doors: whoever lacks the engine's credentials executes nothing and reads nothing."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

APP = """
import modalnb
app = modalnb.App("safe")

@app.function(min_containers=2)
def work(x):
    return x

assert work.remote(1) == 1
"""
#: Asks a server of Dask's, once with each of three credentials, who it is.
KNOCK = """
import asyncio
import gc
from distributed import Client, Security
from distributed.core import rpc

def identity(address, security):
    async def ask():
        arguments = security.get_connection_args("client")
        async with rpc(address, connection_args=arguments, timeout=2) as server:
            return (await server.identity())["type"]
    return asyncio.run(asyncio.wait_for(ask(), 10))

def connect(address, security):
    # Dask closes a client that did not connect when it is collected, and hangs if that happens
    # while it starts another one.
    gc.collect()
    with Client(address, security=security, timeout=2, set_as_default=False) as client:
        return client.run_on_scheduler(lambda: "executed")
"""
#: How Dask says that a connection did not come about; the last is said before it is tried.
REFUSED = "Timed out|unknown ca|CERTIFICATE_VERIFY_FAILED|Comm.*losed|closed|TLS.* expects"


class Doors:
    """An engine with two containers: its processes, what they listen on, its credentials."""

    def __init__(self, host: Any) -> None:
        runtime = Path(host.env["XDG_RUNTIME_DIR"]) / "modalnb"
        (file,) = runtime.glob("engine-*.json")
        self.facts: dict[str, Any] = json.loads(file.read_text())
        self.credentials: dict[str, str] = self.facts["credentials"]
        self.engine = psutil.Process(self.facts["pid"])
        self.processes = [self.engine, *self.engine.children(recursive=True)]
        self.listening = [
            (process, connection.laddr)
            for process in self.processes
            for connection in process.net_connections("inet")
            if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
        ]
        self.ports = [address.port for _, address in self.listening]


@pytest.fixture(scope="module")
def host(make_peer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A process with an engine and two containers, which keeps its files in a folder of its own."""
    peer = make_peer(TMPDIR=str(tmp_path_factory.mktemp("files")))
    peer.do(APP)
    return peer


@pytest.fixture(scope="module")
def doors(host: Any) -> Doors:
    while host.get("work.snapshot().count('idle')") < 2:
        pass
    return Doors(host)


@pytest.fixture(scope="module")
def stranger(make_peer: Any) -> Any:
    """Another process, with credentials of its own making."""
    peer = make_peer()
    peer.do(KNOCK)
    peer.do("foreign, none = Security.temporary(), Security()")
    return peer


@pytest.fixture
def foreign_context(tmp_path: Path) -> ssl.SSLContext:
    """TLS with a certificate that the engine has not signed, and no questions about its own."""
    from distributed import Security

    security = Security.temporary()
    for name, text in (("key", security.tls_client_key), ("cert", security.tls_client_cert)):
        (tmp_path / name).write_text(text)
    context = _careless_context()
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    return context


def _careless_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connections(ports: list[int]) -> Iterator[socket.socket]:
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            yield connection


def _read_all(connection: socket.socket) -> bytes:
    """What the other side says until it hangs up; a reset is a way to hang up."""
    said = b""
    while True:
        try:
            data = connection.recv(4096)
        except (ConnectionError, ssl.SSLError):
            return said
        if not data:
            return said
        said += data


def test_everything_listens_on_loopback_only(doors: Doors) -> None:
    """One port of the scheduler and one of each container; the zygote has none."""
    assert {address.ip for _, address in doors.listening} == {"127.0.0.1"}
    assert len(doors.listening) == 3
    assert len({process.pid for process, _ in doors.listening}) == 3


def test_peer_without_tls_reads_nothing(doors: Doors) -> None:
    for connection in _connections(doors.ports):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n" + bytes(256))
        said = _read_all(connection)
        assert not said or said[0] == 21, "21 is a TLS alert"


def test_tls_peer_without_certificate_reads_nothing(doors: Doors) -> None:
    for connection in _connections(doors.ports):
        with pytest.raises(ssl.SSLError, match=r"certificate required|handshake failure|eof"):
            _talk(_careless_context(), connection)


def test_tls_peer_with_foreign_certificate_reads_nothing(
    doors: Doors, foreign_context: ssl.SSLContext
) -> None:
    for connection in _connections(doors.ports):
        with pytest.raises(ssl.SSLError, match=r"unknown ca|eof"):
            _talk(foreign_context, connection)


def _talk(context: ssl.SSLContext, connection: socket.socket) -> None:
    """With TLS 1.3 the refusal comes after the client has finished its handshake."""
    with context.wrap_socket(connection) as tls:
        tls.recv(1)
        raise AssertionError("the server answered")


def test_only_a_dask_client_with_the_credentials_executes_anything(
    doors: Doors, stranger: Any
) -> None:
    """With them it does, so it is the credentials that keep the others out."""
    address = doors.facts["address"]
    for scheme, credentials in (("tls", "foreign"), ("tls", "none"), ("tcp", "none")):
        with pytest.raises(stranger.Error, match=REFUSED):
            stranger.get(f"connect({address.replace('tls', scheme)!r}, {credentials})")
    stranger.do(f"own = Security(require_encryption=True, **{doors.credentials!r})")
    assert stranger.get(f"connect({address!r}, own)") == "executed"


def test_only_the_credentials_open_the_port_of_a_container(doors: Doors, stranger: Any) -> None:
    stranger.do(f"own = Security(require_encryption=True, **{doors.credentials!r})")
    kinds = []
    for port in doors.ports:
        kinds.append(stranger.get(f"identity('tls://127.0.0.1:{port}', own)"))
        for scheme, credentials in (("tls", "foreign"), ("tcp", "none")):
            with pytest.raises(stranger.Error, match=REFUSED):
                stranger.get(f"identity('{scheme}://127.0.0.1:{port}', {credentials})")
    assert sorted(kinds) == ["ClosedScheduler", "ClosedWorker", "ClosedWorker"]


def test_engines_have_different_credentials(doors: Doors, make_peer: Any) -> None:
    other = make_peer(runtime="other")
    other.do(APP)
    for part, text in Doors(other).credentials.items():
        assert text != doors.credentials[part]


def test_files_with_credentials_are_for_this_user_only(doors: Doors, host: Any) -> None:
    places = [Path(host.env["XDG_RUNTIME_DIR"]), Path(host.env["TMPDIR"])]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    secret = [file for file in files if b"PRIVATE KEY" in file.read_bytes()]
    assert secret
    for file in secret:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_no_command_line_or_environment_holds_a_secret(doors: Doors, host: Any) -> None:
    key = doors.credentials["tls_client_key"].encode()
    pieces = [b"PRIVATE KEY", *(line for line in key.splitlines() if len(line) > 40)]
    for pid in (host.process.pid, *(process.pid for process in doors.processes)):
        for name in ("cmdline", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not any(piece in text for piece in pieces)


def test_depot_of_large_payloads_is_for_this_user_only(doors: Doors) -> None:
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    if place is None:
        pytest.skip("/dev/shm is missing, so payloads are in the folder of temporary files")
    (folder,) = place.glob(f"modalnb-{doors.engine.pid}-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
