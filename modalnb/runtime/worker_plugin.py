"""The shell on a Dask worker: greets the plane and passes its messages to the container."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import WorkerPlugin

from modalnb import messages as m
from modalnb._dask_compat import quicken_worker
from modalnb.guarding import checked, guarded
from modalnb.payload.shared_memory import Depot
from modalnb.runtime import context, printing, threads
from modalnb.runtime.container import Container
from modalnb.runtime.devices import DeviceReader
from modalnb.runtime.equipment import Equipment

if TYPE_CHECKING:
    from distributed import Worker

#: Exit hooks may take so many seconds; Modal's own limit.
EXIT_SECONDS = 30.0


class ContainerPlugin(WorkerPlugin):
    """Turns each Dask worker that it is sent to into a container."""

    name = f"modalnb-container-{m.PROTOCOL}"

    def __init__(self, depot: str | None = None) -> None:
        self.depot_folder = depot

    async def setup(self, worker: Worker) -> None:
        """Start up on a worker; its stream is open, and nothing arrives before this returns."""
        quicken_worker(worker)
        loop = asyncio.get_running_loop()
        self.worker = worker
        self.depot = Depot(self.depot_folder) if self.depot_folder else None
        self.printer = printing.Printer(self._send_lines, loop)
        self.container = Container(worker.batched_send, loop, self)
        self.line = WorkerLine(worker, loop)
        self.reader = DeviceReader()
        self.equipment = Equipment(is_ours=hosts_containers, say_farewell=self._say_farewell)
        worker.stream_handlers.update(
            {
                **{op: checked(handler) for op, handler in self.container.handlers.items()},
                m.EQUIP: checked(self.equipment.on_equip),
                m.LOOK: checked(self._on_look),
                m.REPLY: guarded(self._on_reply),
            }
        )
        if context.process_home is None:
            context.process_home = self
        printing.take_over(is_ours=hosts_containers)
        if hosts_containers:
            threads.take_over()
        else:
            threading.Thread(
                target=self.container.run_forever, name="modalnb-user-code", daemon=True
            ).start()
        # The engine knows what the host of its containers has.
        reading = None if hosts_containers else await self.reader.read()
        worker.batched_send(
            {
                "op": m.HELLO,
                "container_id": str(worker.name),
                "version": m.PROTOCOL,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "devices": list(reading.devices) if reading else None,
                "device_error": reading.error if reading else None,
            }
        )

    async def teardown(self, worker: Worker) -> None:
        """The worker closes: what was started in the container is stopped first."""
        self.container.close()
        self.equipment.close()
        self.reader.close()
        if not hosts_containers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.container.wait_stopped(), EXIT_SECONDS)

    def _send_lines(self, lines: list[printing.Line]) -> None:
        self.worker.batched_send({"op": m.PRINTED, "lines": lines})

    def _on_look(self) -> None:
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        reading = await self.reader.read()
        self.worker.batched_send(
            {
                "op": m.DEVICES,
                "host": socket.gethostname(),
                "devices": list(reading.devices),
                "error": reading.error,
            }
        )

    def _say_farewell(self, story: str) -> None:
        message = {"op": m.FATE, "story": story, "over_limit": True}
        self.line.loop.call_soon_threadsafe(self.worker.batched_send, message)

    def _on_reply(self, **fields: Any) -> None:
        if self.on_reply is not None:
            self.on_reply(**fields)

    @property
    def is_guest(self) -> bool:
        """Whether the process belongs to somebody else's cluster."""
        return not hosts_containers

    #: Set by the caller's end when user code in this container makes calls of its own.
    on_reply: Any = None


class WorkerLine:
    """A container's own connection to the plane, for the calls that user code makes."""

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        self.worker = worker
        self.loop = loop

    def send(self, message: dict[str, Any]) -> None:
        """Send on the stream of the worker."""
        self.worker.batched_send(message)


#: True in a process that runs the user code of its container on the main thread itself.
hosts_containers = False
