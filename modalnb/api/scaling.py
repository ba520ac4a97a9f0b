"""What can be seen and steered of a pool: its settings, its numbers, its autoscaler's reasons."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modalnb.api import current, display, views
from modalnb.api.twin import twin
from modalnb.api.waiting import ask, ask_async
from modalnb.plane.stub import Stub
from modalnb.settings import checked_override
from modalnb.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from modalnb.api.bases import Base


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """Modal's four numbers of a function.

    Attributes
    ----------
    backlog : int
        Inputs without a container.
    num_total_runners : int
        Containers, starting ones included.
    num_running_inputs : int
        Inputs that execute.
    input_headroom : int
        Free slots.
    """

    backlog: int
    num_total_runners: int
    num_running_inputs: int
    input_headroom: int


@dataclass(frozen=True, slots=True)
class FunctionAutoscalerSettings:
    """The settings in force after :meth:`Function.update_autoscaler`."""

    min_containers: int
    max_containers: int | None
    buffer_containers: int
    scaledown_window: float


class Scalable(ABC):
    """Whatever owns a pool of containers."""

    _name: str
    _base: Base

    @abstractmethod
    def _pool_id(self, stub: Stub) -> str:
        """The pool, after making sure that the plane knows it."""

    # -- autoscaler ------------------------------------------------------------------------

    @twin
    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> FunctionAutoscalerSettings:
        """Change how the pool scales, at once and until the next deploy; None keeps a value.

        Changes add up. They are the same for everyone who uses the function.

        Parameters
        ----------
        min_containers, max_containers, buffer_containers : int, optional
            ``max_containers=0`` means as many as the cluster hosts.
        scaledown_window : float, optional
            Seconds for which a container may be idle.

        Returns
        -------
        FunctionAutoscalerSettings
            What is in force now.

        Raises
        ------
        InvalidError
            If a value is out of range, or the minimum would be above the maximum.

        Examples
        --------
        >>> square.update_autoscaler(min_containers=2)  # doctest: +SKIP
        """
        return self._updated(min_containers, max_containers, buffer_containers, scaledown_window)

    @update_autoscaler.aio
    async def _update_autoscaler_aio(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> FunctionAutoscalerSettings:
        """The same for ``await``."""
        return await asyncio.to_thread(
            self._updated, min_containers, max_containers, buffer_containers, scaledown_window
        )

    def _updated(
        self,
        min_containers: int | None,
        max_containers: int | None,
        buffer_containers: int | None,
        scaledown_window: float | None,
    ) -> FunctionAutoscalerSettings:
        values = {
            "min_containers": min_containers,
            "max_containers": max_containers,
            "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window,
        }
        checked_override(values)
        stub = current.stub()
        answer = ask(stub, "update", pool_id=self._pool_id(stub), values=values)
        return FunctionAutoscalerSettings(**answer)

    # -- views -----------------------------------------------------------------------------

    @twin
    def get_current_stats(self) -> FunctionStats:
        """Modal's four numbers: backlog, containers, running inputs and free slots.

        Examples
        --------
        >>> square.get_current_stats()  # doctest: +SKIP
        FunctionStats(backlog=0, num_total_runners=0, num_running_inputs=0, input_headroom=0)
        """
        # The class of an instance may have a method `snapshot` of the user's.
        return _stats_of(Scalable.snapshot(self))

    @get_current_stats.aio
    async def _get_current_stats_aio(self) -> FunctionStats:
        """The same for ``await``."""
        stub = current.stub()
        facts = await ask_async(stub, "pool", pool_id=self._pool_id(stub))
        return _stats_of(PoolSnapshot.from_dict(facts))

    def snapshot(self) -> PoolSnapshot:
        """All that is known of the pool at this instant."""
        stub = current.stub()
        return PoolSnapshot.from_dict(ask(stub, "pool", pool_id=self._pool_id(stub)))

    def panel(self, *, rate: float | None = None) -> Any:
        """A live view of the pool, with sliders that steer it; see :meth:`App.dashboard`.

        Examples
        --------
        >>> square.panel()  # doctest: +SKIP
        """
        return views.open_view("open_panel", self, rate=rate)

    def explain(self, last: int = 10) -> display.Explanation:
        """The last decisions of the autoscaler with their reasons, newest last.

        Examples
        --------
        >>> square.explain()  # doctest: +SKIP
        """
        stub = current.stub()
        decisions = ask(stub, "explain", pool_id=self._pool_id(stub))
        return display.Explanation(self._name, decisions[-last:])


def _stats_of(pool: PoolSnapshot) -> FunctionStats:
    return FunctionStats(
        backlog=pool.pending,
        num_total_runners=len(pool.containers) - pool.count("draining"),
        num_running_inputs=pool.running,
        input_headroom=pool.headroom,
    )
