"""PoolAdaptive: fetches a snapshot, lets the core decide, carries it out; nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from distributed.deploy.adaptive import Adaptive

from modalnb.cluster.pool_view import PoolView
from modalnb.core.autoscaling import Decision, Memory, decide

logger = logging.getLogger(__name__)
# Dask would announce the start and the end of each pool's autoscaler where the user works.
logging.getLogger(Adaptive.__module__).setLevel(logging.WARNING)

#: The safety net; demand, settings and expiring containers wake the policy by themselves.
INTERVAL_SECONDS = 1.0


class PoolAdaptive(Adaptive):
    """The autoscaler of one pool; many of them share a cluster."""

    def __init__(self, view: PoolView) -> None:
        self._memory = Memory()
        self._decision = Decision()
        self._again = False
        #: The pool is empty and nobody wants anything of it.
        self._is_idle = False
        self._timer: asyncio.TimerHandle | None = None
        self._told = ""
        self._task: asyncio.Future[None] | None = None
        super().__init__(view, interval=INTERVAL_SECONDS, minimum=0, wait_count=1)

    # -- waking ----------------------------------------------------------------------------

    def wake(self) -> None:
        """Evaluate the policy now; a wake during an evaluation repeats it."""
        if self.state == "stopped":
            return
        if self._adapting:
            self._again = True
        else:
            self._task = asyncio.ensure_future(self.adapt())

    async def adapt(self) -> None:
        """Evaluate the policy once, and again if something happened meanwhile."""
        if self._adapting:
            self._again = True
            return
        try:
            await super().adapt()
        except OSError:
            logger.debug("modalnb: the scheduler is closing", exc_info=True)
        except Exception:
            logger.exception("modalnb: the autoscaler failed; it goes on")
        if self._again:
            self._again = False
            await asyncio.sleep(0)
            self.wake()
        elif self._is_idle:
            self.cluster.rest()

    def stop(self, reason: str = "unknown") -> None:
        """Stop for good."""
        if self._timer is not None:
            self._timer.cancel()
        super().stop(reason=reason)

    # -- Dask's frame: target, recommendations, scale_up or scale_down ------------------------

    async def target(self) -> int:
        """Take one snapshot and decide on it."""
        snapshot = await self.cluster.refresh()
        if snapshot is None:
            self._decision = Decision()
            return 0
        asked_at, now = time.monotonic(), snapshot.taken_at
        self._decision, self._memory = decide(snapshot, snapshot.settings, self._memory, now)
        self._is_idle = not (
            snapshot.demand
            or snapshot.containers
            or self._decision.desired
            or self._decision.wake_at
        )
        self._set_timer(asked_at, now)
        await self._tell(snapshot.taken_at)
        return self._decision.desired

    async def recommendations(self, target: int) -> dict[str, Any]:
        """Translate the decision; Dask's own three-tick damper stays out of it."""
        if self._decision.start:
            return {"status": "up", "n": self._decision.start}
        if self._decision.drain:
            return {"status": "down", "workers": list(self._decision.drain)}
        return {"status": "same"}

    async def scale_up(self, n: int) -> None:
        """Start `n` more containers."""
        await self.cluster.start(n)

    async def scale_down(self, workers: list[str]) -> None:
        """Drain these containers; the plane ends them when their slots are free."""
        await self.cluster.drain(workers)

    def _set_timer(self, asked_at: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._decision.wake_at is not None:
            delay = max(0.005, self._decision.wake_at - now - (time.monotonic() - asked_at))
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    async def _tell(self, taken_at: float) -> None:
        decision = self._decision
        step = decision.reason.rpartition(" → ")[2]
        if decision.start or decision.drain or step != self._told:
            self._told = step
            await self.cluster.tell(
                {
                    "time": time.time(),
                    "taken_at": taken_at,
                    "desired": decision.desired,
                    "start": decision.start,
                    "drain": list(decision.drain),
                    "reason": decision.reason,
                }
            )
