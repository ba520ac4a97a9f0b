"""What Dask's Adaptive takes for its cluster: one pool of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from modalnb.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from modalnb.cluster.operator import Operator


class PoolView:
    """One pool of a cluster that hosts many; starting and draining go through the operator."""

    def __init__(self, operator: Operator, pool_id: str) -> None:
        self._operator = operator
        self.pool_id = pool_id
        self.snapshot: PoolSnapshot | None = None

    # -- what Adaptive reads ---------------------------------------------------------------

    @property
    def loop(self) -> Any:
        """The event loop of the cluster."""
        return self._operator.cluster.loop

    @property
    def status(self) -> Any:
        """The status of the cluster; Adaptive stops when it is not running."""
        return self._operator.cluster.status

    @property
    def scheduler_comm(self) -> Any:
        """The rpc to the scheduler."""
        return self._operator.cluster.scheduler_comm

    @property
    def plan(self) -> set[str]:
        """Containers that the pool shall have."""
        return self._ids("booting", "idle", "busy")

    requested = plan

    @property
    def observed(self) -> set[str]:
        """Containers that take inputs."""
        return self._ids("idle", "busy")

    def _ids(self, *states: str) -> set[str]:
        containers = self.snapshot.containers if self.snapshot else ()
        return {c.container_id for c in containers if c.state in states}

    def __await__(self) -> Generator[Any, None, PoolView]:
        """Never wait for the other pools of the cluster."""
        yield from ()
        return self

    # -- what PoolAdaptive asks ------------------------------------------------------------

    async def refresh(self) -> PoolSnapshot | None:
        """The pool as it is now; None when it is no more."""
        self.snapshot = await self._operator.pool(self.pool_id)
        return self.snapshot

    async def start(self, count: int) -> None:
        """Start so many containers."""
        await self._operator.start(self.pool_id, count)

    async def drain(self, container_ids: list[str]) -> None:
        """Let these containers take no more inputs and leave."""
        await self._operator.drain(container_ids)

    async def tell(self, decision: dict[str, Any]) -> None:
        """Write a decision into the pool's record."""
        await self._operator.tell(self.pool_id, decision)

    def rest(self) -> None:
        """The pool is empty: nothing needs to look at it before something happens to it."""
        self._operator.rest(self.pool_id)
