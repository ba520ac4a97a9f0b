"""Containers as workers of any SpecCluster: LocalCluster, SSHCluster, the job queues.

Uses only what SpecCluster documents: entries of different kinds may be put into ``worker_spec``,
and awaiting the cluster makes it so; ``scale_down`` of nothing does just that.  ``scale`` would
not do: a job queue divides its argument by the processes of a job.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from distributed import Nanny
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface
from distributed.utils import import_term

from modalnb.cluster.backends.base import OnEnded, container_name
from modalnb.cluster.backends.template import Spec, Template
from modalnb.core.capacity import Capacity
from modalnb.messages import names_of_pool
from modalnb.runtime.devices import DeviceReader, Reading

logger = logging.getLogger(__name__)

#: Containers on a cluster that does not say how much it can host; Modal's starter plan has as many.
UNKNOWN_ROOM = 100
#: A worker that is to end gets so many seconds to finish its start, and as many to leave.
END_SECONDS = 8.0
MAX_STORY = 2_000


class SpecBackend:
    """Adds and removes single workers of a SpecCluster, each a container of one pool."""

    tells_fates = False

    def __init__(
        self,
        cluster: Any,
        make_spec: Callable[[str], Spec] | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self.cluster = cluster
        self.on_ended: OnEnded = lambda name, story, over_limit=False: None
        self.on_printed: Callable[[str, str], None] = lambda name, text: None
        self._make_spec = make_spec or self._hosted
        self._template = Template(cluster) if make_spec is None else None
        #: Where containers have to be.
        self._wanted_hosts: Mapping[str, str] = {}
        self._capacity = capacity or Capacity(containers=UNKNOWN_ROOM, is_elastic=True)
        #: Reads the GPUs of this host, if that is where the containers are.
        self.reader: DeviceReader | None = None
        self._token = uuid.uuid4().hex[:4]
        self._numbers = itertools.count(1)
        self._own: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def _hosted(self, name: str) -> Spec:
        assert self._template is not None
        spec = self._template.make(name, self._wanted_hosts.get(name))
        return {"cls": HostedContainer, "options": {"name": name, "spec": spec, "backend": self}}

    def capacity(self) -> Capacity:
        """What the cluster can host, as far as it is known."""
        return self._capacity

    async def devices(self) -> Reading | None:
        """The GPUs of this host, if containers are here."""
        return await self.reader.read() if self.reader is not None else None

    def limit_memory(self, names: list[str], mebibytes: int) -> None:
        """Each worker watches itself."""

    def names(self, pool_id: str, count: int, unassigned: list[str]) -> list[str]:
        """New names; workers that the cluster has already are not ours."""
        function = names_of_pool(pool_id)[1]
        return [container_name(function, self._token, next(self._numbers)) for _ in range(count)]

    def start(self, pool_id: str, names: list[str], hosts: Mapping[str, str]) -> None:
        """Add the workers to what the cluster shall have."""
        self._wanted_hosts = hosts
        if self.cluster.status != Status.running:
            return
        for name in names:
            self._own.add(name)
            self.cluster.worker_spec[name] = self._make_spec(name)
        self.spawn(self._correct())

    def greeted(self, name: str, host: str) -> None:
        """A worker has come up on this host."""
        if self._template is not None:
            self._template.greeted(name, host)

    def stop(self, names: list[str]) -> None:
        """Take the workers out of what the cluster shall have."""
        mine = [name for name in names if name in self._own]
        self._own.difference_update(mine)
        for name in mine:
            self.cluster.worker_spec.pop(name, None)
        if mine and self.cluster.status == Status.running:
            self.spawn(self._correct())

    def kill(self, name: str) -> None:
        """End a worker; the cluster decides how hard."""
        self.stop([name])

    async def close(self) -> None:
        """End all workers that were started here."""
        self.stop(list(self._own))
        if self.reader is not None:
            self.reader.close()
        deadline = time.monotonic() + 2 * END_SECONDS
        while self._tasks and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(list(self._tasks), timeout=left)

    def lost(self, name: str) -> None:
        """A worker is gone: forget it, so that the cluster does not start it again."""
        self.stop([name])

    async def _correct(self) -> None:
        """Make the cluster follow its specification."""
        before = set(self.cluster.worker_spec)
        try:
            await self.cluster.scale_down([])
        except Exception as error:
            # Ours never raise, but a worker of the cluster's own may.
            logger.warning("modalnb: the cluster could not change its workers: %s", error)
            for name in (before & self._own) - set(self.cluster.workers):
                self.on_ended(name, f"it could not be started: {error}")

    def spawn(self, work: Any) -> None:
        """Run a coroutine that :meth:`close` waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class HostedContainer(ProcessInterface):
    """A worker of the cluster's own kind that starts and ends in the background.

    SpecCluster waits for every start and end under one lock, and one that raises makes all later
    changes fail.  So to the cluster a container is there at once and never fails; what became of
    it is told to the plane.
    """

    def __init__(self, scheduler: str, *, name: str, spec: Spec, backend: SpecBackend) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self._name = name
        self._scheduler = scheduler
        self._spec = spec
        self._backend = backend
        self._worker: Any = None
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to start the worker."""
        self._starting = asyncio.ensure_future(self._start())
        await super().start()

    async def _start(self) -> None:
        try:
            kind = self._spec["cls"]
            kind = import_term(kind) if isinstance(kind, str) else kind
            self._worker = kind(self._scheduler, **self._spec["options"])
            await self._worker
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}")
            return
        if isinstance(self._worker, Nanny):
            # A container that died is replaced by the autoscaler, under another name.
            self._worker.close_gracefully(reason="modalnb restarts no container")
            if self._worker.process is None or not self._worker.process.is_alive():
                self._failed("its process ended while it started")

    def _failed(self, why: str) -> None:
        story = f"it could not be started: {why}"[:MAX_STORY]
        logger.warning("modalnb: container %s: %s", self._name, story)
        self._backend.on_ended(self._name, story)
        self._backend.lost(self._name)

    async def close(self) -> None:
        """End the worker; only a cluster that is closing waits for it."""
        if self.status == Status.closed:
            return
        await super().close()
        if self._backend.cluster.status == Status.running:
            self._backend.spawn(self._end())
        else:
            await self._end()

    async def _end(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting], timeout=END_SECONDS)
            self._starting.cancel()
        with suppress(Exception):
            await asyncio.wait_for(self._dismiss(), END_SECONDS)
        if self._worker is not None:
            with suppress(Exception):
                await asyncio.wait_for(self._worker.close(), END_SECONDS)
        # The plane waits for a container that was called off before it had said hello.
        self._backend.on_ended(self._name, "it was ended")

    async def _dismiss(self) -> None:
        """Ask the worker itself to leave: an sshd does not signal processes of root.

        A nanny needs no help, and would stall for seconds when its worker leaves before it.
        """
        cluster = self._backend.cluster
        if cluster.status == Status.running and not isinstance(self._worker, Nanny):
            await cluster.scheduler_comm.retire_workers(
                names=[self._name], close_workers=True, remove=True
            )
