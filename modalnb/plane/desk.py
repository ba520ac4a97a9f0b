"""Answers the questions of callers and of the operator; one verb, one method."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.core import invariants, observe
from modalnb.core.pools import Pool
from modalnb.exception import Error, ExecutionError, NotFoundError, VersionError
from modalnb.plane.chronicle import Chronicle
from modalnb.plane.gateways import Gateways
from modalnb.plane.progress import progress
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
        self.chronicle = Chronicle(plane.ledger)
        self.tails = Tails()
        self.gateways = Gateways(plane)
        self._seq = itertools.count(1)
        self._verbs: dict[str, Callable[..., Any]] = {
            name.removeprefix("_answer_"): getattr(part, name)
            for part in (self, plane.catalog, plane.supply, self.gateways)
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
        return {
            "depot": self.plane.depot_folder,
            "has_operator": self.plane.supply.operator is not None,
        }

    # -- functions -------------------------------------------------------------------------

    def _record(self, pool_id: str) -> FunctionRecord:
        return self.plane.catalog.record(pool_id)

    def client_left(self, client: str) -> None:
        """End the ephemeral apps of a client."""
        self.gateways.left(client)
        for app in list(self.plane.registry.apps.values()):
            if app.owner == f"c:{client}" and not app.is_deployed:
                self.plane.catalog.stop(app)

    # -- calls -----------------------------------------------------------------------------

    def _answer_call(self, call_id: str) -> dict[str, Any]:
        kept = self.plane.keeper.calls.get(call_id)
        live = self.plane.ledger.calls.get(call_id)
        if kept is None and live is None:
            raise self.plane.keeper.missing(call_id)
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
            raise self.plane.keeper.missing(call_id)
        return kept.output(index)

    def _answer_cancel(self, call_id: str, kill: bool = False) -> None:
        known = (self.plane.ledger.calls, self.plane.keeper.calls, self.plane.graph.calls)
        if not any(call_id in calls for calls in known):
            raise self.plane.keeper.missing(call_id)
        self.plane.apply(ev.CallCancelled(call_id=call_id, kill=kill))

    def _answer_graph(self, call_id: str) -> list[dict[str, Any]]:
        kept = self.plane.keeper.calls.get(call_id)
        found = self.plane.graph.describe(call_id, kept.admitted if kept else 0)
        if found is None:
            raise NotFoundError(f"The call {call_id} is not remembered; only the latest calls are.")
        return found

    # -- views -----------------------------------------------------------------------------

    def _answer_snapshot(self, app_id: str | None = None) -> Any:
        """The snapshots of all apps or of one, with devices that were asked just now."""
        return self.plane.fleet.when_fresh(lambda: self._found_snapshots(app_id))

    def _found_snapshots(self, app_id: str | None) -> list[dict[str, Any]]:
        apps = self.plane.registry.apps.values()
        chosen = (
            list(apps) if app_id is None else [a for a in [self.plane.registry.app(app_id)] if a]
        )
        return [snapshot.to_dict() for snapshot in self._app_snapshots(chosen)]

    def _app_snapshots(self, apps: Iterable[AppRecord]) -> list[AppSnapshot]:
        now = time.monotonic()
        pools = {pool.pool_id: pool for pool in self.snapshots(now)}
        return [
            AppSnapshot(
                app_id=app.app_id,
                name=app.name,
                seq=next(self._seq),
                taken_at=now,
                devices=self.plane.fleet.stats(),
                device_errors=self.plane.fleet.errors(),
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
        self.plane.fleet.refresh()
        [snapshot] = self._app_snapshots([app])
        marks = self.chronicle.since(since, {pool.pool_id for pool in snapshot.pools})
        return {"snapshot": snapshot.to_dict(), "marks": [asdict(mark) for mark in marks]}

    def _answer_progress(self, call_ids: list[str]) -> dict[str, Any]:
        """How far these calls are."""
        return progress(self.plane, call_ids, time.monotonic())

    def _answer_tail(self, count: int = 100, **which: Any) -> list[Printed]:
        """The last lines that were printed; see :meth:`.tails.Tails.last`."""
        return self.tails.last(count, **which)

    def _answer_pool(self, pool_id: str) -> dict[str, Any]:
        pool_id = self._record(pool_id).pool_id
        return self.snapshots(time.monotonic(), (pool_id,))[0].to_dict()

    def _answer_explain(self, pool_id: str) -> list[dict[str, Any]]:
        return list(self._record(pool_id).decisions)

    def _answer_validate(self) -> None:
        """Check the ledger against itself; for tests."""
        invariants.validate(self.plane.ledger)

    def keep_lines(self, container_id: str, lines: Iterable[tuple[Any, ...]]) -> None:
        """Keep what a container printed for those who ask later."""
        known = self.plane.ledger.containers.get(container_id)
        texts = (line for line in lines if line[1] != m.DISPLAY)
        self.tails.add(container_id, known.pool.id if known else "", texts)

    # -- snapshots -------------------------------------------------------------------------

    def snapshots(self, now: float, pool_ids: Collection[str] | None = None) -> list[PoolSnapshot]:
        """All pools, or those of these ids, as they are now."""
        known = self.plane.ledger.pools
        names = known if pool_ids is None else [name for name in pool_ids if name in known]
        pools = [known[name] for name in names]
        grants = self.plane.supply.grants()
        waiting = observe.waiting_inputs(self.plane.ledger.book.awaited.values())
        return [
            replace(
                self._snapshot(pool, grants[pool.id], now), blocked=observe.blocked(pool, waiting)
            )
            for pool in pools
        ]

    def full_pools(self) -> dict[str, frozenset[str]]:
        """Pools that can get no container more, with the pools that have what they lack."""
        grants = self.plane.supply.grants()
        full: dict[str, frozenset[str]] = {}
        for pool in self.plane.ledger.pools.values():
            count = sum(c.ready_at is not None for c in pool.containers.values())
            maximum, room = pool.settings.autoscaler.max_containers, grants[pool.id].room
            if maximum is not None and count >= maximum:
                full[pool.id] = frozenset()
            elif room is not None and count >= room:
                full[pool.id] = grants[pool.id].rivals
        return full

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
            room_words=grant.room_words,
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
            gauges=observe.gauges(pool, self.plane.limits or Limits())
            + self.gateways.gauges(record, now),
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
            gpus=self.plane.fleet.gpus(container.id),
        )
