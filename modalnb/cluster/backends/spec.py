"""Containers as workers of any SpecCluster: LocalCluster, SSHCluster, the job queues.

Uses only what SpecCluster documents: entries of different kinds may be put into ``worker_spec``,
and ``scale(len(worker_spec))`` makes it so.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
import uuid
from collections.abc import Callable
from typing import Any

from modalnb.cluster.backends.base import Capacity, container_name
from modalnb.exception import ConnectionError
from modalnb.messages import names_of_pool

logger = logging.getLogger(__name__)

#: Containers on a cluster that does not say how much it can host; Modal's starter plan has as many.
UNKNOWN_ROOM = 100


class SpecBackend:
    """Adds and removes single workers of a SpecCluster, each a container of one pool."""

    tells_fates = False

    def __init__(
        self,
        cluster: Any,
        make_spec: Callable[[str], dict[str, Any]] | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self.cluster = cluster
        self.on_ended: Callable[[str, str], None] = lambda name, story: None
        self.on_printed: Callable[[str, str], None] = lambda name, text: None
        self._make_spec = make_spec or template_of(cluster)
        self._capacity = capacity or Capacity(cores=None, room=UNKNOWN_ROOM)
        self._token = uuid.uuid4().hex[:4]
        self._numbers = itertools.count(1)
        self._own: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def capacity(self) -> Capacity:
        """What the cluster can host, as far as it is known."""
        return self._capacity

    def names(self, pool_id: str, count: int, unassigned: list[str]) -> list[str]:
        """New names; workers that the cluster has already are not ours."""
        function = names_of_pool(pool_id)[1]
        return [container_name(function, self._token, next(self._numbers)) for _ in range(count)]

    def start(self, pool_id: str, names: list[str]) -> None:
        """Add the workers to what the cluster shall have."""
        for name in names:
            self._own.add(name)
            self.cluster.worker_spec[name] = self._make_spec(name)
        self._spawn(self._correct())

    def stop(self, names: list[str]) -> None:
        """Take the workers out of what the cluster shall have."""
        mine = [name for name in names if name in self._own]
        self._own.difference_update(mine)
        for name in mine:
            self.cluster.worker_spec.pop(name, None)
        if mine:
            self._spawn(self._correct())

    def kill(self, name: str) -> None:
        """End a worker; the cluster decides how hard."""
        self.stop([name])

    async def close(self) -> None:
        """End all workers that were started here."""
        self.stop(list(self._own))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lost(self, name: str) -> None:
        """A worker is gone: forget it, so that the cluster does not start it again."""
        self.stop([name])

    async def _correct(self) -> None:
        """Make the cluster follow its specification; ``scale`` of its own size does just that."""
        before = set(self.cluster.worker_spec)
        try:
            self.cluster.scale(len(self.cluster.worker_spec))
            await self.cluster._correct_state()
        except Exception as error:
            logger.warning("modalnb: the cluster could not start a container: %s", error)
            for name in (before & self._own) - set(self.cluster.workers):
                self.on_ended(name, f"it could not be started: {error}")

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def template_of(cluster: Any) -> Callable[[str], dict[str, Any]]:
    """How to specify one more worker of this cluster under a given name.

    Raises
    ------
    ConnectionError
        If the cluster has nothing that more workers could be modelled on.
    """
    if cluster.new_spec:
        return lambda name: _named(cluster.new_spec, name)
    models = itertools.cycle(list(cluster.worker_spec.values()) or [None])
    if next(models) is None:
        raise ConnectionError(
            f"{type(cluster).__name__} has no worker that containers could be modelled on. "
            "Create it with at least one worker or one host."
        )
    return lambda name: _named(next(models), name)


def _named(model: dict[str, Any], name: str) -> dict[str, Any]:
    """A worker like `model`, one process and one thread, under this name."""
    options = copy.copy(model.get("options", {}))
    if "kwargs" in options:
        # SSHCluster: without a name of its own the remote worker is named by its address.
        options["kwargs"] = {**options["kwargs"], "name": name, "nthreads": 1}
        options["worker_class"] = "distributed.Worker"
    else:
        options["name"] = name
    if "processes" in options:
        options["processes"] = 1
    if "nthreads" in options:
        options["nthreads"] = 1
    return {"cls": model["cls"], "options": options}
