"""The operator of a cluster: keeps one PoolAdaptive per pool and carries out what they decide."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from distributed import Client

from modalnb import messages as m
from modalnb._dask_compat import on_stream, quicken_client
from modalnb.cluster.adaptive import PoolAdaptive
from modalnb.cluster.backends.base import Backend
from modalnb.cluster.pool_view import PoolView
from modalnb.exception import ConnectionError
from modalnb.runtime.devices import Reading
from modalnb.snapshot import PoolSnapshot

logger = logging.getLogger(__name__)


class Operator:
    """Starts and ends containers for the plane of one cluster, on the cluster's event loop."""

    def __init__(self, cluster: Any, backend: Backend, client: Client) -> None:
        self.cluster = cluster
        self.backend = backend
        self.client = client
        self._adaptives: dict[str, PoolAdaptive] = {}
        self._unassigned: list[str] = []
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.on_replaced: Callable[[], None] = lambda: None

    async def begin(self) -> bool:
        """Take up work; False if the cluster has an operator already."""
        quicken_client(self.client)
        on_stream(self.client, m.OPERATE, self._on_order)
        self.backend.on_ended = self._on_ended
        self.backend.on_printed = self._on_printed
        reading = await self.backend.devices()
        return bool(
            await self.ask(
                "operate",
                client=self.client.id,
                capacity=asdict(self.backend.capacity()),
                tells_fates=self.backend.tells_fates,
                devices=_told(reading) if reading is not None else None,
            )
        )

    async def close(self) -> None:
        """Stop scaling and end the containers that were started here."""
        self._stop_scaling("operator closed")
        for task in list(self._tasks):
            task.cancel()
        await self.backend.close()

    def _stop_scaling(self, reason: str) -> None:
        for adaptive in self._adaptives.values():
            adaptive.stop(reason=reason)
        self._adaptives.clear()

    async def ask(self, verb: str, **arguments: Any) -> Any:
        """Ask the plane."""
        scheduler = self.client.scheduler
        if scheduler is None:
            raise ConnectionError("The scheduler is gone.")
        answer = await getattr(scheduler, m.RPC)(verb=verb, arguments=arguments)
        if isinstance(answer, dict):
            m.raise_error(answer)
        return answer

    # -- for the pools ---------------------------------------------------------------------

    async def pool(self, pool_id: str) -> PoolSnapshot | None:
        """The snapshot of a pool."""
        answer = await self.ask("pools", pool_ids=[pool_id])
        self._unassigned = list(answer["unassigned"])
        pools = [PoolSnapshot.from_dict(facts) for facts in answer["pools"]]
        return pools[0] if pools else None

    async def start(self, pool_id: str, count: int) -> None:
        """Start containers: the plane must expect them before they can say hello."""
        names = self.backend.names(pool_id, count, self._unassigned)
        if names:
            answer = await self.ask("expect", pool_id=pool_id, container_ids=names)
            expected = list(answer["names"])
            if answer["memory_limit"] is not None:
                self.backend.limit_memory(expected, answer["memory_limit"])
            self.backend.start(pool_id, expected, answer["hosts"])

    async def drain(self, container_ids: list[str]) -> None:
        """Let containers leave when their slots are free."""
        await self.ask("drain", container_ids=container_ids)

    async def tell(self, pool_id: str, decision: dict[str, Any]) -> None:
        """Write down a decision."""
        await self.ask("decided", pool_id=pool_id, decision=decision)

    def rest(self, pool_id: str) -> None:
        """Drop the autoscaler of an empty pool: there may be thousands, one for each instance."""
        self._drop(pool_id, "pool rests")

    def _drop(self, pool_id: str, reason: str) -> None:
        adaptive = self._adaptives.pop(pool_id, None)
        if adaptive is not None:
            adaptive.stop(reason=reason)

    # -- orders of the plane ---------------------------------------------------------------

    def _on_order(self, order: dict[str, Any]) -> None:
        for kind, what in order.items():
            getattr(self, f"_order_{kind}")(what)

    def _order_wake(self, pool_ids: list[str]) -> None:
        for pool_id in pool_ids if "" not in pool_ids else [*pool_ids, *self._adaptives]:
            if pool_id and pool_id not in self._adaptives:
                self._adaptives[pool_id] = PoolAdaptive(PoolView(self, pool_id))
            if pool_id:
                self._adaptives[pool_id].wake()

    def _order_retire(self, what: tuple[str, str]) -> None:
        container_id, pool_id = what
        self.backend.stop([container_id])
        if not self.backend.tells_fates:
            return
        self._order_wake([pool_id])

    def _order_kill(self, what: tuple[str, str]) -> None:
        self.backend.kill(what[0])

    def _order_greeted(self, what: tuple[str, str]) -> None:
        self.backend.greeted(*what)

    def _order_lost(self, container_id: str) -> None:
        self.backend.lost(container_id)

    def _order_forget(self, pool_id: str) -> None:
        self._drop(pool_id, "pool removed")

    def _order_replaced(self, successor: str) -> None:
        """Another client can start containers where this one can only lease workers."""
        self._stop_scaling("operator replaced")
        self.on_replaced()

    def _order_look(self, _: str) -> None:
        self._spawn(self._look_at_devices())

    async def _look_at_devices(self) -> None:
        reading = await self.backend.devices()
        if reading is not None:
            await self.ask("devices", **_told(reading))

    # -- news of the backend ---------------------------------------------------------------

    def _on_ended(self, name: str, story: str, over_limit: bool = False) -> None:
        self._spawn(self.ask("fate", container_id=name, story=story, over_limit=over_limit))

    def _on_printed(self, name: str, text: str) -> None:
        self._spawn(self.ask("printed", container_id=name, lines=[(None, "stderr", text)]))

    def _spawn(self, work: Any) -> None:
        async def quietly() -> None:
            with suppress(OSError, asyncio.CancelledError):
                await work

        task = asyncio.ensure_future(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _told(reading: Reading) -> dict[str, Any]:
    """A reading of the devices of this host, as the plane is told of it."""
    return {
        "host": socket.gethostname(),
        "devices": list(reading.devices),
        "error": reading.error,
    }
