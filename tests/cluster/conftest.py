"""Processes that tests give orders to, and the clusters that they connect to."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import modalnb

ROOT = Path(modalnb.__file__).parent.parent
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

_LOOP = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    kind, code = json.loads(line)
    try:
        if kind == "get":
            answer = {"value": eval(code, globals())}
        else:
            exec(code, globals())
            answer = {"value": None}
    except Exception as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
"""


class PeerError(Exception):
    """An exception in a peer."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Peer:
    """A Python process that runs what it is told, one piece of code at a time, in ``__main__``."""

    Error = PeerError

    def __init__(self, log: Path, env: dict[str, str]) -> None:
        self.log = log
        self.env = env
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _LOOP],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": str(ROOT), **env},
                cwd=log.parent,
                text=True,
            )

    def do(self, code: str, seconds: float = 30.0) -> None:
        """Run statements."""
        self._ask("do", code, seconds)

    def get(self, code: str, seconds: float = 30.0) -> Any:
        """The value of an expression."""
        return self._ask("get", code, seconds)

    def begin(self, code: str) -> Callable[[], Any]:
        """Start to evaluate an expression; the answer is to be fetched before the next order."""
        self._send("get", code)
        return lambda: self._hear(30.0)

    def _ask(self, kind: str, code: str, seconds: float) -> Any:
        self._send(kind, code)
        return self._hear(seconds)

    def _send(self, kind: str, code: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([kind, code]) + "\n")
        self.process.stdin.flush()

    def _hear(self, seconds: float) -> Any:
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        assert line, f"the peer hung or died; it had printed:\n{self.printed()}"
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"], answer["text"])
        return answer["value"]

    def printed(self) -> str:
        """What the peer printed, logged or warned."""
        return self.log.read_text(errors="replace")

    @property
    def pids(self) -> set[int]:
        """The processes below the peer."""
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    def close(self) -> None:
        """Let the process end as a script does; nothing of it may stay."""
        if self.is_closed:
            return
        below = psutil.Process(self.process.pid).children(recursive=True) if self.is_alive else []
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"the peer did not end; it had printed:\n{self.printed()}"
            ) from None
        finally:
            _, alive = psutil.wait_procs(below, timeout=10)
            for process in alive:
                process.kill()
        assert not alive, f"processes left behind: {alive}"

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self.process.stdin is None or self.process.stdin.closed


@pytest.fixture(scope="module")
def make_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Peer]]:
    """Starts peers that share a runtime folder of their own."""
    folder = tmp_path_factory.mktemp("peers")
    peers: list[Peer] = []

    def make(runtime: str = "run", **env: str) -> Peer:
        (folder / runtime).mkdir(mode=0o700, exist_ok=True)
        env = {"XDG_RUNTIME_DIR": str(folder / runtime), "MODALNB_PROGRESS": "0", **env}
        peers.append(Peer(folder / f"peer-{len(peers)}.log", env))
        return peers[-1]

    yield make
    for peer in reversed(peers):
        peer.close()


@pytest.fixture(scope="session")
def ssh_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What asyncssh needs to log in to this machine, by an sshd with keys of its own."""
    with run_sshd(tmp_path_factory.mktemp("sshd")) as options:
        yield options


@contextlib.contextmanager
def run_sshd(folder: Path, *prefix: str, **env: str) -> Iterator[dict[str, Any]]:
    """An sshd, as the command `prefix` starts it, whose processes have more in their environment.

    Gives what asyncssh needs to log in.
    """
    if SSHD is None:
        pytest.skip("sshd is missing: run `apt-get install openssh-server`")
    _write_keys(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = " ".join(f"{name}={value}" for name, value in {"PYTHONPATH": ROOT, **env}.items())
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'client.pub'}\n"
        f"PidFile {folder / 'pid'}\n"
        f"SetEnv {settings}\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it for root
    with (folder / "log").open("wb") as log:
        command = [*prefix, SSHD, "-D", "-e", "-f", str(folder / "config")]
        server = subprocess.Popen(command, stderr=log)
    try:
        _wait_for_port(port, server, folder / "log")
        yield {
            "port": port,
            "username": getpass.getuser(),
            "known_hosts": None,
            "client_keys": [str(folder / "client")],
        }
    finally:
        server.terminate()
        server.wait(10)


def _write_keys(folder: Path) -> None:
    import asyncssh

    for name in ("host", "client"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(folder / name))
        key.write_public_key(str(folder / f"{name}.pub"))
        (folder / name).chmod(0o600)


def _wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    pause = threading.Event()
    for _ in range(500):
        assert server.poll() is None, f"sshd ended: {log.read_text()}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.02)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")
