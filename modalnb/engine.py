"""The engine process: a Dask scheduler with the plane, the autoscalers and the zygote.

``python -m modalnb.engine`` reads one JSON line of options from its standard input, writes one
JSON line with its address and credentials to its standard output when it is ready, and ends when
its standard input is closed or its parent is gone.
"""

from __future__ import annotations

import os

# Containers share the cores, so a numeric library in each must not start a thread per core.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import asyncio
import json
import logging
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from distributed import Client, Security, SpecCluster
from distributed.core import Status

from modalnb import messages as m
from modalnb._dask_compat import ClosedScheduler, slow_heartbeats, use_lean_config
from modalnb.cluster.backends.local import LocalBackend, ZygoteLine
from modalnb.cluster.credentials import begin_credentials, credentials_of
from modalnb.cluster.operator import Operator
from modalnb.cluster.rendezvous import Rendezvous
from modalnb.cluster.zygote import fork_zygote
from modalnb.payload.shared_memory import create_depot
from modalnb.plane.scheduler_plugin import PlanePlugin
from modalnb.runtime.devices import DeviceReader
from modalnb.runtime.process import run_container
from modalnb.runtime.worker_plugin import ContainerPlugin
from modalnb.settings import Limits
from modalnb.tunnel import allow_connections

logger = logging.getLogger(__name__)

PARENT_CHECK_SECONDS = 1.0
CLOSE_SECONDS = 5.0


class Engine:
    """Everything that lives in the engine process, closed in the reverse order of its opening."""

    def __init__(
        self,
        options: dict[str, Any],
        zygote: ZygoteLine,
        take_credentials: Callable[[], Security],
    ) -> None:
        self.options = options
        self._zygote = zygote
        self._take_credentials = take_credentials
        self.ended = asyncio.Event()

    async def start(self) -> dict[str, Any]:
        """Open everything; returns what a client needs to connect."""
        # The driver takes its time, so it is asked while the rest starts.
        reader = DeviceReader()
        self._early = asyncio.ensure_future(reader.read())
        self.depot = create_depot()
        self.folder = tempfile.TemporaryDirectory(prefix="modalnb-")
        security = self._take_credentials()
        slow_heartbeats()
        self.cluster = await SpecCluster(
            scheduler={"cls": ClosedScheduler, "options": _scheduler_options(security)},
            workers={},
            asynchronous=True,
            security=security,
            name="modalnb",
        )
        plugin = PlanePlugin(
            containers=ContainerPlugin(depot=self.depot.folder),
            depot=self.depot.folder,
            limits=Limits(**self.options.get("limits", {})),
            keep_days=self.options.get("result_days", 7.0),
        )
        await plugin.start(self.cluster.scheduler)
        self.cluster.scheduler.add_plugin(plugin, name=plugin.name)
        self.client = await Client(
            self.cluster.scheduler_address,
            security=security,
            asynchronous=True,
            set_as_default=False,
        )
        self._zygote.listen(on_lost=self.ended.set)
        credentials = credentials_of(security)
        backend = LocalBackend(
            self.cluster,
            self._zygote,
            folder=self.folder.name,
            credentials=credentials,
            memory_per_container=self.options.get("memory_per_container", 128 * 2**20),
            keeps_spare=self.options.get("spare", False),
            reader=reader,
        )
        self.operator = Operator(self.cluster, backend, self.client)
        await self.operator.begin()
        facts = {
            "address": self.cluster.scheduler_address,
            "credentials": credentials,
            "pid": os.getpid(),
            "parent": self.options.get("parent"),
            "version": m.PROTOCOL,
            "python": sys.version.split()[0],
        }
        self.rendezvous = Rendezvous(facts)
        return facts

    async def close(self) -> None:
        """Close everything; what hangs is left to the end of the process."""
        with suppress(AttributeError):
            self.rendezvous.withdraw()
        with suppress(AttributeError, Exception):
            await asyncio.wait_for(self._close_cluster(), CLOSE_SECONDS)
        with suppress(AttributeError):
            self.depot.close()
        with suppress(AttributeError):
            self.folder.cleanup()

    async def _close_cluster(self) -> None:
        await self.operator.close()
        await self.client.close()
        self.cluster.status = Status.running
        await self.cluster.close()


def _scheduler_options(security: Security) -> dict[str, Any]:
    return {
        "security": security,
        "host": "127.0.0.1",
        "protocol": "tls://",
        "port": 0,
        "dashboard": False,
        "dashboard_address": ":0",
    }


async def _main(engine: Engine, ready: int) -> None:
    loop = asyncio.get_running_loop()
    options = engine.options
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, engine.ended.set)
    watch = loop.create_task(_watch_parent(engine.ended, options.get("parent")))
    if not options.get("parent"):
        watch.cancel()
    try:
        facts = await engine.start()
        with os.fdopen(ready, "w") as out:
            out.write(json.dumps(facts) + "\n")
        if options.get("parent"):
            loop.add_reader(0, _on_input, engine.ended)
        await engine.ended.wait()
    finally:
        await engine.close()


def _on_input(ended: asyncio.Event) -> None:
    """The parent keeps our standard input open and never writes: to read is to see its end."""
    if not os.read(0, 4096):
        ended.set()


async def _watch_parent(ended: asyncio.Event, parent: int | None) -> None:
    """The pipe may be held open by a child of the parent, so look at the parent too."""
    while os.getppid() == parent:  # noqa: ASYNC110  (a process has no event for it)
        await asyncio.sleep(PARENT_CHECK_SECONDS)
    ended.set()


def _read_line(fd: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line


def main() -> None:
    """Run an engine until its parent is gone."""
    options = json.loads(_read_line(0) or b"{}")
    ready = os.dup(1)
    os.set_inheritable(ready, False)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_lean_config()
    # Forked before logging is set up: in containers that is for the user's code to do.
    line = fork_zygote(run_container)
    # Each container has some, and there may be hundreds; what users run keeps the limit it knows.
    allow_connections()
    engine = Engine(options, ZygoteLine(line), begin_credentials())
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("distributed").setLevel(logging.ERROR)
    status = 1
    try:
        asyncio.run(_main(engine, ready))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Threads of Dask must not delay the end.
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
