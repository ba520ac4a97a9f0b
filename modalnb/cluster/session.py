"""A process's session: the connection to a plane, with the engine that may have been started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.configuration import config
from modalnb.exception import ConnectionError, Error
from modalnb.payload.shared_memory import Depot
from modalnb.plane.stub import Stub

if TYPE_CHECKING:
    from distributed import Security

    from modalnb._dask_compat import LineClient

CONNECT_SECONDS = 10.0


async def connect_client(address: str, security: Security | None) -> LineClient:
    """A Dask client of the scheduler at this address, within :data:`CONNECT_SECONDS`.

    Raises
    ------
    ConnectionError
        If there is no scheduler that lets us in.
    """
    from modalnb._dask_compat import LineClient, quicken_client

    client = None
    try:
        client = LineClient(
            address,
            security=security,
            asynchronous=True,
            set_as_default=False,
            timeout=CONNECT_SECONDS,
        )
        # Dask's own timeout leaves out a peer that accepts the connection and stays silent.
        await asyncio.wait_for(client, CONNECT_SECONDS)
    except Exception as error:
        if client is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), CONNECT_SECONDS)
        why = f"{type(error).__name__}: {error}" if str(error) else "it stayed silent"
        raise ConnectionError(
            f"No Dask scheduler lets us in at {address} ({why}). "
            "Check the address, and that the credentials are those of the scheduler."
        ) from error
    quicken_client(client)
    return client


class ClientLine:
    """A Dask client on an event loop of its own, as the line of a stub."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="modalnb-loop", daemon=True)
        self._thread.start()
        self.client: LineClient | None = None

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, work: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    async def connect(self, address: str, security: Security | None) -> None:
        """Connect to a scheduler."""
        self.client = await connect_client(address, security)

    def send(self, message: dict[str, Any]) -> None:
        """Send on the stream of the client."""
        assert self.client is not None
        self.client.post(message)

    async def greet(self) -> Any:
        """Ask the plane whether it understands us."""
        assert self.client is not None
        rpc = getattr(self.client.scheduler, m.RPC)
        return await rpc(verb="greet", arguments={"version": m.PROTOCOL})

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        assert self.client is not None
        await self.client.lost.wait()

    def close(self) -> None:
        """Close the client, end what runs on the loop, and end the loop."""
        with contextlib.suppress(Exception):
            self.run(self._close_client(), CONNECT_SECONDS)
        with contextlib.suppress(Exception):
            self.run(self._cancel_rest(), CONNECT_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CONNECT_SECONDS)
        if not self._thread.is_alive():
            self.loop.close()

    async def _close_client(self) -> None:
        if self.client is not None:
            await self.client.close()

    async def _cancel_rest(self) -> None:
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


class Session:
    """The connection of this process to a plane, with what has to be closed with it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.line = ClientLine()
        self.stub: Stub
        self.engine: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.security: Any = None
        #: The process that answers for web functions, once there is one.
        self.gateway: Any = None
        self._closers: list[Callable[[], None]] = []
        self._pid = os.getpid()

    @property
    def is_open(self) -> bool:
        """Whether calls can go through; a forked child has to open its own."""
        return not self.stub.is_closed and self._pid == os.getpid()

    def connect(self, address: str, security: Any) -> None:
        """Open the line, check that a plane of our version answers, and listen."""
        self.address, self.security = address, security
        try:
            self.line.run(self.line.connect(address, security), config.start_timeout)
            depot = self.line.run(self._greet(), CONNECT_SECONDS)
        except Error:
            raise
        except Exception as error:
            raise ConnectionError(
                f"No scheduler with a plane answers at {address} "
                f"({type(error).__name__}: {error}). "
                "Check the address, and that the credentials belong to it."
            ) from error
        self.stub = Stub(self.line, Depot(depot) if depot and os.access(depot, os.W_OK) else None)
        asyncio.run_coroutine_threadsafe(self._listen(), self.line.loop)

    async def _greet(self) -> str | None:
        answer = await self.line.greet()
        m.raise_error(answer)
        return answer["depot"]  # type: ignore[no-any-return]

    async def _listen(self) -> None:
        from modalnb._dask_compat import on_stream

        assert self.line.client is not None
        on_stream(self.line.client, m.REPLY, self.stub.on_reply)
        await self.line.wait_lost()
        self.stub.fail_all(
            ConnectionError(
                "The connection to the engine is lost; its calls are cancelled. "
                "The next call starts or finds an engine again."
            )
        )

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call this when the session closes, last in first out."""
        self._closers.append(closer)

    def close(self) -> None:
        """Close everything that the session opened."""
        if self._pid != os.getpid():
            return
        if hasattr(self, "stub"):
            self.stub.is_closed = True
        while self._closers:
            self._closers.pop()()
        self.line.close()
        if self.engine is not None:
            _end_engine(self.engine)


def start_embedded(limits: dict[str, int] | None = None) -> Session:
    """Start an engine that ends with this process, and connect to it."""
    session = Session("embedded")
    log = tempfile.TemporaryFile()  # noqa: SIM115
    engine = _spawn_engine(log)
    session.engine = engine
    try:
        options = {
            "parent": os.getpid(),
            "memory_per_container": config.memory_per_container,
            "spare": config.spare,
            "result_days": config.result_days,
            "limits": limits or {},
        }
        assert engine.stdin is not None
        engine.stdin.write(json.dumps(options).encode() + b"\n")
        engine.stdin.flush()
        # While the engine imports Dask, this process does so too.
        from distributed import Security

        facts = _await_ready(engine, log)
        session.connect(facts["address"], Security(require_encryption=True, **facts["credentials"]))
    except BaseException:
        session.close()
        raise
    finally:
        log.close()
    return session


def _spawn_engine(log: Any) -> subprocess.Popen[bytes]:
    package_root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join([package_root, *(entry for entry in sys.path if entry)])
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "modalnb.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
    except OSError as error:
        raise ConnectionError(f"The engine could not be started: {error}.") from error


def _await_ready(engine: subprocess.Popen[bytes], log: Any) -> dict[str, Any]:
    """The line in which the engine says that it is ready."""
    timer = threading.Timer(config.start_timeout, engine.kill)
    timer.daemon = True
    timer.start()
    try:
        assert engine.stdout is not None
        line = engine.stdout.readline()
    finally:
        timer.cancel()
    if line:
        return json.loads(line)  # type: ignore[no-any-return]
    status = engine.wait()
    log.seek(0)
    tail = log.read().decode(errors="replace").strip().splitlines()
    why = tail[-1] if tail else f"it said nothing for {config.start_timeout:g} s."
    raise ConnectionError(
        f"The engine did not start (exit status {status}): "
        f"{why.removeprefix('modalnb.exception.InvalidError: ')}"
    )


def _end_engine(engine: subprocess.Popen[bytes]) -> None:
    """Close the engine's standard input, which ends it; insist if it does not."""
    for pipe in (engine.stdin, engine.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        engine.wait(CONNECT_SECONDS)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait()
