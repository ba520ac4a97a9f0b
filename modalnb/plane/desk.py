"""Answers the questions of callers and of the operator; one verb, one method."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.core import invariants, observe
from modalnb.core.capacity import Capacity, Need, cpu_of
from modalnb.core.pools import Pool, mean
from modalnb.exception import Error, ExecutionError, NotFoundError, VersionError
from modalnb.plane.chronicle import Chronicle
from modalnb.plane.gateways import Gateways
from modalnb.plane.registry import AppRecord, FunctionRecord
from modalnb.plane.tails import Printed, Tails
from modalnb.settings import Limits
from modalnb.snapshot import AppSnapshot, PoolSnapshot

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin

logger = logging.getLogger(__name__)


class Desk:
    """The rpc side of a plane: read-only questions, and the few changes that need an answer."""

    def __init__(self, plane: PlanePlugin) -> None:
        self.plane = plane
        #: The client that starts and ends containers, and what it said of its cluster.
        self.operator: str | None = None
        self.operator_tells_fates = False
        self.cores: float | None = None
        self.room: int | None = None
        #: Containers on workers that were here before and stay: they are taken back, not ended.
        self.leased: set[str] = set()
        self.chronicle = Chronicle(plane.ledger)
        self.tails = Tails()
        self.gateways = Gateways(plane)
        self._seq = itertools.count(1)
        self._cpu: dict[str, float] = {}
        self._verbs: dict[str, Callable[..., Any]] = {
            name.removeprefix("_answer_"): getattr(part, name)
            for part in (self, plane.catalog, self.gateways)
            for name in dir(part)
            if name.startswith("_answer_")
        }

    def answer(self, verb: str, arguments: Mapping[str, Any], comm: Any = None) -> Any:
        """Answer one question; modalnb's own errors travel as facts."""
        try:
            return self._verbs[verb](**arguments)
        except Error as error:
            return m.error_facts(error)
        except Exception as error:
            logger.exception("modalnb: %s failed", verb)
            return m.error_facts(ExecutionError(f"The plane could not answer `{verb}`: {error!r}"))

    # -- greeting --------------------------------------------------------------------------

    def _answer_greet(self, version: int) -> dict[str, Any]:
        if version != m.PROTOCOL:
            raise VersionError(
                f"This modalnb speaks protocol {version}, the engine speaks {m.PROTOCOL}. "
                "Use the same version of modalnb on both sides."
            )
        return {"depot": self.plane.depot_folder, "has_operator": self.operator is not None}

    # -- functions -------------------------------------------------------------------------

    def _record(self, pool_id: str) -> FunctionRecord:
        return self.plane.catalog.record(pool_id)

    def client_left(self, client: str) -> None:
        """End the ephemeral apps of a client; the operator's place becomes free."""
        self.gateways.left(client)
        if client == self.operator:
            self.operator = None
            self._lose_unborn()
        for app in list(self.plane.registry.apps.values()):
            if app.owner == f"c:{client}" and not app.is_deployed:
                self.plane.catalog.stop(app)

    def _lose_unborn(self) -> None:
        """What the operator was starting will not come; that is no failure of the function."""
        unborn = [c.id for c in self.plane.ledger.containers.values() if c.ready_at is None]
        self.plane.apply(ev.DrainAsked(container_ids=tuple(unborn)))
        for name in unborn:
            self.plane.apply(ev.ContainerLost(container_id=name, story="its operator left"))

    # -- calls -----------------------------------------------------------------------------

    def _answer_call(self, call_id: str) -> dict[str, Any]:
        kept = self.plane.keeper.calls.get(call_id)
        live = self.plane.ledger.calls.get(call_id)
        if kept is None and live is None:
            raise NotFoundError(
                f"There is no call {call_id}; its results may have been kept for their time."
            )
        pool_id = kept.pool_id if kept else live.pool.id if live else ""
        facts: dict[str, Any] = {"function": m.names_of_pool(pool_id)[1], "pool_id": pool_id}
        if kept is not None:
            failed = sum(status != "ok" for status, _ in kept.outputs.values())
            facts |= {"inputs": kept.admitted, "done": len(kept.outputs), "failed": failed}
            facts["closed"] = kept.is_complete
        elif live is not None:
            facts |= {"inputs": live.admitted, "done": live.done, "failed": 0}
            facts["closed"] = live.closed
        facts["running"] = live.leased if live else 0
        return facts

    def _answer_output(self, call_id: str, index: int) -> tuple[str, Any] | None:
        kept = self.plane.keeper.calls.get(call_id)
        if kept is None:
            raise NotFoundError(
                f"There is no call {call_id}; its results may have been kept for their time."
            )
        return kept.outputs.get(index)

    def _answer_cancel(self, call_id: str, kill: bool = False) -> None:
        self.plane.apply(ev.CallCancelled(call_id=call_id, kill=kill))

    def _answer_graph(self, call_id: str) -> list[dict[str, Any]]:
        kept = self.plane.keeper.calls.get(call_id)
        found = self.plane.graph.describe(call_id, kept.admitted if kept else 0)
        if found is None:
            raise NotFoundError(f"The call {call_id} is not remembered; only the latest calls are.")
        return found

    # -- views -----------------------------------------------------------------------------

    def _answer_snapshot(self, app_id: str | None = None) -> list[dict[str, Any]]:
        apps = self.plane.registry.apps.values()
        chosen = (
            list(apps) if app_id is None else [a for a in [self.plane.registry.app(app_id)] if a]
        )
        return [snapshot.to_dict() for snapshot in self._app_snapshots(chosen)]

    def _app_snapshots(self, apps: Iterable[AppRecord]) -> list[AppSnapshot]:
        now = time.monotonic()
        pools = {pool.pool_id: pool for pool in self._snapshots(now)}
        return [
            AppSnapshot(
                app_id=app.app_id,
                name=app.name,
                seq=next(self._seq),
                taken_at=now,
                pools=tuple(pools[r.pool_id] for r in app.pools if r.pool_id in pools),
            )
            for app in apps
        ]

    def _answer_look(self, app_id: str, since: int = 0) -> dict[str, Any] | None:
        """All that a live view wants to know at once: the snapshot, and the marks since its last.

        ``None`` if there is no such app any more.
        """
        app = self.plane.registry.app(app_id)
        if app is None:
            return None
        [snapshot] = self._app_snapshots([app])
        marks = self.chronicle.since(since, {pool.pool_id for pool in snapshot.pools})
        return {"snapshot": snapshot.to_dict(), "marks": [asdict(mark) for mark in marks]}

    def _answer_tail(self, count: int = 100, **which: Any) -> list[Printed]:
        """The last lines that were printed; see :meth:`.tails.Tails.last`."""
        return self.tails.last(count, **which)

    def _answer_pool(self, pool_id: str) -> dict[str, Any]:
        pool_id = self._record(pool_id).pool_id
        return next(p for p in self._snapshots(time.monotonic()) if p.pool_id == pool_id).to_dict()

    def _answer_explain(self, pool_id: str) -> list[dict[str, Any]]:
        return list(self._record(pool_id).decisions)

    def _answer_validate(self) -> None:
        """Check the ledger against itself; for tests."""
        invariants.validate(self.plane.ledger)

    def keep_lines(self, container_id: str, lines: Iterable[tuple[Any, ...]]) -> None:
        """Keep what a container printed for those who ask later."""
        known = self.plane.ledger.containers.get(container_id)
        self.tails.add(container_id, known.pool.id if known else "", lines)

    # -- the operator ----------------------------------------------------------------------

    def _answer_operate(
        self, client: str, cores: float | None, room: int | None, tells_fates: bool
    ) -> bool:
        if self.operator not in (None, client):
            only_leases = cores is None and room is None
            if only_leases or self.cores is not None or self.room is not None:
                return False
            self.tell_operator({"replaced": client})
        self.operator, self.cores, self.room = client, cores, room
        self.operator_tells_fates = tells_fates
        self.plane.enactor.wake(list(self.plane.ledger.pools))
        return True

    def _answer_pools(self, pool_ids: list[str] | None = None) -> dict[str, Any]:
        pools = self._snapshots(time.monotonic())
        if pool_ids is not None:
            pools = [pool for pool in pools if pool.pool_id in pool_ids]
        return {"pools": [pool.to_dict() for pool in pools], "unassigned": self._unassigned()}

    def _unassigned(self) -> list[str]:
        return [name for name in self.plane.addresses if name not in self.plane.ledger.containers]

    def _answer_expect(self, pool_id: str, container_ids: list[str]) -> list[str]:
        """The operator starts these containers; those that are here already get to work.

        Two pools may have decided on the same free room, so what no longer fits is left out.
        """
        fresh = [name for name in container_ids if name not in self.plane.ledger.containers]
        if self.room is not None:
            fresh = fresh[: max(0, self.room - len(self.plane.ledger.containers))]
        for name in fresh:
            is_here = name in self.plane.addresses
            if is_here and not self.operator_tells_fates:
                self.leased.add(name)
            self.plane.apply(ev.ContainerExpected(container_id=name, pool_id=pool_id))
            if is_here:
                self.plane.from_containers.prepare(name)
        return fresh

    def _answer_drain(self, container_ids: list[str]) -> None:
        self.plane.apply(ev.DrainAsked(container_ids=tuple(container_ids)))

    def _answer_fate(self, container_id: str, story: str) -> None:
        self.plane.from_containers.tell_fate(container_id, story)

    def _answer_printed(self, container_id: str, lines: list[tuple[Any, ...]]) -> None:
        self.plane.from_containers.print_lines(container_id, lines)

    def _answer_decided(self, pool_id: str, decision: dict[str, Any]) -> None:
        record = self.plane.registry.record(pool_id)
        if record is not None:
            record.reason = decision["reason"]
            record.decisions.append(decision)

    def tell_operator(self, order: dict[str, Any]) -> None:
        """Send an order to whoever starts and ends containers."""
        if self.operator in self.plane.scheduler.client_comms:
            self.plane.scheduler.client_send(self.operator, {"op": m.OPERATE, "order": order})

    def release(self, container_id: str) -> None:
        """A leased worker goes back to those without a pool, for whoever is short of them."""
        self.leased.discard(container_id)
        self.plane.apply(ev.ContainerLost(container_id=container_id, story="released"))
        self.plane.enactor.wake(())

    # -- snapshots -------------------------------------------------------------------------

    def _snapshots(self, now: float) -> list[PoolSnapshot]:
        pools = list(self.plane.ledger.pools.values())
        needs = {pool.id: self._need(pool) for pool in pools}
        room = self.room
        if self.operator is not None and room is None and self.cores is None:
            # Workers that are only leased: as many containers as there are workers.
            room = len(self.plane.addresses)
            needs = dict.fromkeys(needs, Need(cpu=1.0))
        cores = self.cores if self.cores is not None or room is None else float(room)
        grants = observe.grants(pools, needs, Capacity(cores=cores, containers=room))
        waiting = observe.waiting_inputs(self.plane.ledger.book.nested.values())
        return [
            replace(
                self._snapshot(pool, grants[pool.id], now), blocked=observe.blocked(pool, waiting)
            )
            for pool in pools
        ]

    def _need(self, pool: Pool) -> Need:
        return Need(cpu=cpu_of(pool.settings.cpu, self._measured_cpu(pool)))

    def _measured_cpu(self, pool: Pool) -> float | None:
        for container in pool.containers.values():
            usage = self.plane.usage.get(container.id)
            if usage is not None and usage.pop("is_new", False):
                self._cpu[pool.id] = mean(self._cpu.get(pool.id), usage["cpu"])
        return self._cpu.get(pool.id)

    def full_pools(self) -> frozenset[str]:
        """Pools that have as many containers as they can ever get."""
        return frozenset(
            pool.pool_id
            for pool in self._snapshots(time.monotonic())
            if len(pool.containers) - pool.count("booting")
            >= min(c for c in (pool.settings.max_containers, pool.room, math.inf) if c is not None)
        )

    def _snapshot(self, pool: Pool, grant: observe.Grant, now: float) -> PoolSnapshot:
        record = self.plane.registry.record(pool.id)
        app = self.plane.registry.app(m.names_of_pool(pool.id)[0])
        return PoolSnapshot(
            pool_id=pool.id,
            app=app.name if app else "",
            function=m.names_of_pool(pool.id)[1],
            taken_at=now,
            settings=pool.settings.autoscaler,
            static=record.settings.autoscaler if record else pool.settings.autoscaler,
            target_inputs=pool.settings.target_inputs,
            max_inputs=pool.settings.max_inputs,
            max_batch_size=pool.settings.batch.max_batch_size if pool.settings.batch else 1,
            single_use=pool.settings.single_use,
            pending=observe.pending(pool),
            running=observe.running(pool),
            retrying=pool.retrying,
            done=pool.done,
            failed=pool.failed,
            containers=tuple(self._container(c) for c in pool.containers.values()),
            share=grant.share,
            room=grant.room,
            contended=grant.contended,
            mean_duration=pool.mean_duration,
            mean_boot=pool.mean_boot,
            boot_failures=pool.boot_failures,
            boot_failed_at=pool.boot_failed_at,
            wait_p50=observe.usual_wait(pool, 0.5),
            wait_p95=observe.usual_wait(pool, 0.95),
            batch_sizes=pool.batches.sizes,
            batch_waits=pool.batches.waits if pool.settings.batch else (),
            reason=record.reason if record else "",
            gauges=observe.gauges(pool, self.plane.limits or Limits()),
        )

    def _container(self, container: Any) -> Any:
        facts = self.plane.hellos.get(container.id, {})
        usage = self.plane.usage.get(container.id, {})
        return replace(
            observe.container_stats(container),
            pid=facts.get("pid"),
            host=facts.get("host", ""),
            cpu=usage.get("cpu"),
            memory=usage.get("memory"),
        )
