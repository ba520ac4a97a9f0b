"""Takes in what callers declare: apps, functions, classes, and the settings of their pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.exception import NotFoundError
from modalnb.interface import Interface
from modalnb.plane.registry import AppRecord, FunctionRecord
from modalnb.settings import FunctionSettings

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin


class Catalog:
    """Keeps the registry of a plane and the pools of its ledger in step."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane

    def record(self, pool_id: str) -> FunctionRecord:
        """What owns a pool.

        Raises
        ------
        NotFoundError
            If nothing does any more.
        """
        record = self._plane.registry.record(pool_id)
        if record is None:
            name = m.names_of_pool(pool_id)[1]
            raise NotFoundError(f"Function '{name}' is not registered; has its app been stopped?")
        return record

    def define(
        self,
        *,
        owner: str,
        app: tuple[str, str],
        function: str,
        settings: Mapping[str, Any],
        interface: Mapping[str, Any],
        code: str,
        blob: Any = None,
    ) -> None:
        """A caller declares a function or class, or a new version of one."""
        registry = self._plane.registry
        declared, called = FunctionSettings.from_dict(settings), Interface.from_dict(interface)
        app_record = registry.open_app(*app, owner=owner)
        if blob is not None:
            registry.add_code(code, blob)
        records = registry.define(app_record, function, declared, code, called)
        for record in records:
            self._open_pool(record)

    def stop(self, app: AppRecord) -> None:
        """End an app with all that it does."""
        self._plane.registry.remove(app.app_id)
        for record in app.functions.values():
            self._plane.apply(ev.PoolRemoved(pool_id=record.pool_id, cancel=True))

    def _open_pool(self, record: FunctionRecord) -> None:
        """Let the ledger and the containers know a pool as it is now."""
        plane, pool_id, settings = self._plane, record.pool_id, record.effective
        if not record.has_pool:
            plane.apply(ev.PoolRemoved(pool_id=pool_id))
            return
        known = plane.ledger.pools.get(pool_id)
        has_changed = known is not None and known.settings != settings
        is_deployed = plane.registry.is_deployed(pool_id)
        footprint = known.settings.footprint if known is not None else settings.footprint
        plane.apply(ev.PoolDefined(pool_id=pool_id, settings=settings, deployed=is_deployed))
        if known is not None and footprint != settings.footprint:
            # Their devices and limits are those that they were started with.
            plane.apply(ev.DrainAsked(container_ids=tuple(known.containers)))
        if known is not None and has_changed:
            for container_id in known.containers:
                plane.enactor.configure(container_id, settings)

    # -- questions that the desk passes on -------------------------------------------------

    def _answer_lookup(self, app: str, function: str, is_class: bool) -> dict[str, Any]:
        record = self._plane.registry.lookup(app, function, is_class=is_class)
        app_id = m.names_of_pool(record.pool_id)[0]
        return {"app_id": app_id, "interface": record.interface.to_dict()}

    def _answer_code(self, pool_id: str, known: str) -> dict[str, Any]:
        """The code of a pool, unless it is the one that is known."""
        code = self.record(pool_id).code
        return {"code": code, "blob": None if code == known else self._plane.registry.blob(code)}

    def _answer_variant(
        self, pool_id: str, name: str, init: Any, options: dict[str, Any]
    ) -> dict[str, Any]:
        record = self._plane.registry.vary(pool_id, name, init, options)
        self._open_pool(record)
        return {"pool_id": record.pool_id}

    def _answer_settings(self, pool_id: str) -> dict[str, Any]:
        record = self.record(pool_id)
        return {
            "static": record.settings.autoscaler.to_dict(),
            "override": dict(record.override),
            "effective": record.effective.autoscaler.to_dict(),
        }

    def _answer_update(self, pool_id: str, values: dict[str, Any]) -> dict[str, Any]:
        record = self.record(pool_id)
        effective = self._plane.registry.override(record.pool_id, values)
        self._open_pool(record)
        return effective.to_dict()

    def _answer_deploy(self, app_id: str, name: str, functions: list[str]) -> dict[str, Any]:
        app, dropped = self._plane.registry.deploy(app_id, name, functions)
        for pool_id in dropped:
            self._plane.apply(ev.PoolRemoved(pool_id=pool_id))
        for record in app.functions.values():
            self._open_pool(record)
        return {"app_id": app.app_id}

    def _answer_retain(self, app_id: str, functions: list[str]) -> None:
        for pool_id in self._plane.registry.retain(app_id, functions):
            self._plane.apply(ev.PoolRemoved(pool_id=pool_id))

    def _answer_stop(self, app_id: str) -> None:
        app = self._plane.registry.app(app_id)
        if app is not None:
            self.stop(app)
