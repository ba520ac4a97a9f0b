"""Containers of this machine, forked from the engine's zygote."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from dask.system import CPU_COUNT
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface
from distributed.system import MEMORY_LIMIT

from modalnb.cluster.backends.spec import SpecBackend
from modalnb.cluster.memory_watch import MemoryWatch
from modalnb.cluster.zygote import Lines, Order, encode
from modalnb.core.capacity import Capacity
from modalnb.exception import ConnectionError, InvalidError
from modalnb.runtime.devices import DeviceReader
from modalnb.runtime.memory import MIB

#: A container that was asked to leave is ended after this many seconds: its exit hooks have 30.
LEAVE_SECONDS = 32.0
MAX_TAIL = 4_000
#: The part of the memory that containers may have.
USABLE_MEMORY = 0.9
SPARE = "spare"


class ZygoteLine:
    """The engine's end of the line to its zygote, on the engine's event loop."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.setblocking(False)
        self._lines = Lines()
        self._containers: dict[str, ForkedContainer] = {}
        self._by_pid: dict[int, ForkedContainer] = {}

    def listen(self, on_lost: Callable[[], None]) -> None:
        """Hear what the zygote has to say from now on, and whether it is still there."""
        self._on_lost = on_lost
        asyncio.get_running_loop().add_reader(self._line, self._hear)

    def fork(self, container: ForkedContainer, order: dict[str, Any], output: int) -> None:
        """Ask for a new process."""
        self._containers[container.name] = container
        self._send({"fork": container.name, **order}, [output])

    def signal(self, pid: int, number: int) -> None:
        """Ask to signal a child; the zygote knows which are still alive."""
        with suppress(OSError):
            self._send({"kill": pid, "signal": number}, [])

    def _send(self, message: Order, fds: list[int]) -> None:
        """Send a message whole; the zygote is always about to read, so this blocks for moments."""
        data = encode(message)
        self._line.setblocking(True)
        try:
            sent = socket.send_fds(self._line, [data], fds)
            self._line.sendall(data[sent:])
        finally:
            self._line.setblocking(False)

    def _hear(self) -> None:
        while True:
            try:
                data = self._line.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            for message in self._lines.add(data):
                self._heard(message)

    def _heard(self, message: Order) -> None:
        if "forked" in message:
            container = self._containers[message["forked"]]
            self._by_pid[message["pid"]] = container
            container.on_forked(message["pid"])
        elif "failed" in message:
            self._containers.pop(message["failed"]).on_failed(message["why"])
        else:
            container = self._by_pid.pop(message["ended"])
            del self._containers[container.name]
            container.on_ended(message["status"])

    def _lost(self) -> None:
        """The zygote died and took all containers with it: no container can be started again."""
        asyncio.get_running_loop().remove_reader(self._line)
        self._by_pid.clear()
        self._containers.clear()
        self._on_lost()


class ForkedContainer(ProcessInterface):
    """One container process; starting returns at once, so that no other container waits for it."""

    def __init__(self, scheduler: str, *, name: str, backend: LocalBackend) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.scheduler_address = scheduler
        self.name = name
        self.backend = backend
        self.pid: int | None = None
        #: What is told if it was ended for the memory that it used.
        self.verdict = ""
        self._is_leaving = False
        self._tail = ""
        self._output = -1

    async def start(self) -> None:
        """Ask the zygote for the process."""
        self._output, child_end = os.pipe()
        os.set_blocking(self._output, False)
        asyncio.get_running_loop().add_reader(self._output, self._read)
        order = {
            "name": self.name,
            "scheduler": self.scheduler_address,
            "folder": self.backend.folder,
            "security": self.backend.credentials,
        }
        try:
            self.backend.zygote.fork(self, order, child_end)
        except OSError as error:
            self._close_output()
            raise ConnectionError(f"A container could not be forked: {error}.") from error
        finally:
            os.close(child_end)
        await super().start()

    async def close(self) -> None:
        """Ask the process to leave, and end it if it does not."""
        self._is_leaving = True
        if self.status != Status.closed and self.pid is not None:
            self.backend.zygote.signal(self.pid, signal.SIGTERM)
            loop = asyncio.get_running_loop()
            loop.call_later(LEAVE_SECONDS, self.backend.zygote.signal, self.pid, signal.SIGKILL)
        await super().close()

    def on_forked(self, pid: int) -> None:
        """The process exists."""
        self.pid = pid
        if self._is_leaving:
            self.backend.zygote.signal(pid, signal.SIGTERM)

    def on_failed(self, why: str) -> None:
        """There is no process, because the system has no room for one."""
        self._close_output()
        self.backend.ended(self.name, f"the process could not be started: {why}")

    def on_ended(self, status: int) -> None:
        """The process is gone."""
        self._read()
        self._close_output()
        story = self.verdict or _story(status, self._tail)
        self.backend.ended(self.name, story, over_limit=bool(self.verdict))

    def _read(self) -> None:
        try:
            data = os.read(self._output, 1 << 16) if self._output >= 0 else b""
        except BlockingIOError:
            return
        if not data:
            self._close_output()
            return
        text = data.decode(errors="replace")
        self._tail = (self._tail + text)[-MAX_TAIL:]
        self.backend.on_printed(self.name, text)

    def _close_output(self) -> None:
        if self._output >= 0:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = -1


class LocalBackend(SpecBackend):
    """Forks containers here; knows how each ended and what it printed below Python."""

    tells_fates = True

    def __init__(
        self,
        cluster: Any,
        zygote: ZygoteLine,
        *,
        folder: str,
        credentials: dict[str, str],
        memory_per_container: int,
        keeps_spare: bool,
        reader: DeviceReader,
    ) -> None:
        if memory_per_container > USABLE_MEMORY * MEMORY_LIMIT:
            raise InvalidError(
                f"`config.memory_per_container` is {memory_per_container >> 20:,} MiB, but this "
                f"machine has {int(USABLE_MEMORY * MEMORY_LIMIT) >> 20:,} MiB for containers. "
                "Lower it."
            )
        capacity = Capacity(
            cores=float(CPU_COUNT),
            memory=USABLE_MEMORY * MEMORY_LIMIT / MIB,
            memory_each=max(1, memory_per_container) / MIB,
        )
        super().__init__(cluster, self._forked_spec, capacity)
        self.reader = reader
        self._memory = MemoryWatch(self._pid_of, self._over_limit)
        self.zygote = zygote
        self.folder = folder
        self.credentials = credentials
        self._keeps_spare = keeps_spare
        self._spare: str | None = None

    def _forked_spec(self, name: str) -> dict[str, Any]:
        return {"cls": ForkedContainer, "options": {"name": name, "backend": self}}

    def names(self, pool_id: str, count: int, unassigned: list[str]) -> list[str]:
        """The spare container first, then new names."""
        taken = [self._spare] if self._spare in unassigned and count else []
        if taken:
            self._spare = None
        return [*taken, *super().names(pool_id, count - len(taken), unassigned)]

    def start(self, pool_id: str, names: list[str], hosts: Mapping[str, str]) -> None:
        """Fork those that do not run yet, and the next spare."""
        fresh = [name for name in names if name not in self._own]
        if self._keeps_spare and self._spare is None:
            self._spare = super().names(f"/{SPARE}", 1, [])[0]
            fresh.append(self._spare)
        if fresh:
            super().start(pool_id, fresh, hosts)

    def kill(self, name: str) -> None:
        """End a process whatever it does."""
        pid = self._pid_of(name)
        if pid is not None:
            self.zygote.signal(pid, signal.SIGKILL)

    def _pid_of(self, name: str) -> int | None:
        container = self.cluster.workers.get(name)
        return container.pid if container is not None else None

    def limit_memory(self, names: list[str], mebibytes: int) -> None:
        """End these containers when they use more."""
        for name in names:
            self._memory.limit(name, mebibytes)

    def _over_limit(self, name: str, story: str) -> None:
        container = self.cluster.workers.get(name)
        if container is not None:
            container.verdict = story

    def ended(self, name: str, story: str, *, over_limit: bool = False) -> None:
        """A process is gone: tell the plane, and the cluster that it shall not come back."""
        if self._spare == name:
            self._spare = None
        self._memory.forget(name)
        self.on_ended(name, story, over_limit)
        self.lost(name)

    async def close(self) -> None:
        """End all containers."""
        self._memory.close()
        await super().close()

    @property
    def containers(self) -> dict[str, Callable[..., Any]]:
        """The process of each container."""
        return dict(self.cluster.workers)


def _story(status: int, tail: str) -> str:
    """How a process ended, in words, with the end of what it printed below Python."""
    if status < 0:
        name = signal.Signals(-status).name if -status in list(signal.Signals) else str(-status)
        text = f"killed by signal {name}"
        if -status == signal.SIGKILL:
            text += " (the system does that when memory runs out)"
    else:
        text = f"the process ended with exit status {status}"
    return f"{text}; it had printed:\n{tail.rstrip()}" if tail.strip() else text
