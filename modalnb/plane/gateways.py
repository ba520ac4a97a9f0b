"""What web gateways ask of the plane, and where they are found."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.interface import MethodFacts
from modalnb.plane.registry import AppRecord, FunctionRecord
from modalnb.snapshot import Gauge
from modalnb.websettings import SERVE

if TYPE_CHECKING:
    from modalnb.plane.scheduler_plugin import PlanePlugin

#: A rate that was told so long ago is over.
RATE_SECONDS = 2.0


class Gateways:
    """The gateways of a plane by their clients, the latest last."""

    def __init__(self, plane: PlanePlugin) -> None:
        self._plane = plane
        self._facts: dict[str, dict[str, Any]] = {}
        #: Requests a second, how many may be, and when that was told.
        self._rate = (0.0, 0.0, -math.inf)

    def left(self, client: str) -> None:
        """A client has gone; it may have been a gateway."""
        self._facts.pop(client, None)

    def _answer_gateway(self, client: str, facts: dict[str, Any]) -> None:
        """A gateway has opened."""
        self._facts[client] = facts

    def _answer_web_url(self, pool_id: str, method: str) -> dict[str, Any]:
        """The path of an endpoint, and where the latest gateway is, if there is any."""
        record = self._plane.catalog.record(pool_id)
        app = self._plane.registry.app(m.names_of_pool(record.pool_id)[0])
        assert app is not None
        base = app.functions[record.base or record.name]
        facts = base.interface.method(method)
        path = None
        if facts is not None and facts.web is not None:
            path = f"/{app.name or app.app_id}/{_name_of(base, facts)}"
        return {"path": path, "home": next(reversed(self._facts.values()), None)}

    def _answer_web_rate(self, rate: float, maximum: float) -> None:
        """So many requests a second come to a gateway, of so many that may."""
        self._rate = (rate, maximum, time.monotonic())

    def gauges(self, record: FunctionRecord | None, now: float) -> tuple[Gauge, ...]:
        """How near the requests are to their limit, for a function that answers any."""
        rate, maximum, told_at = self._rate
        if record is None or not record.interface.has_web or not maximum:
            return ()
        current = rate if now - told_at < RATE_SECONDS else 0.0
        return (Gauge(name="web requests a second", current=current, maximum=maximum),)

    def _answer_web(self) -> list[dict[str, Any]]:
        """Every endpoint; of two apps of one name the deployed one counts, else the latest."""
        apps: dict[str, AppRecord] = {}
        for app in self._plane.registry.apps.values():
            known = apps.get(app.name or app.app_id)
            if known is None or app.is_deployed or not known.is_deployed:
                apps[app.name or app.app_id] = app
        return [
            _facts_of(name, record, method)
            for name, app in apps.items()
            for record in app.functions.values()
            if record.base is None
            for method in record.interface.methods
            if method.web is not None
        ]

    def _answer_answered(self, pool_id: str, count: int) -> None:
        """So many requests were answered under leases that had answered one before."""
        self._plane.apply(ev.InputsAnswered(pool_id=pool_id, count=count))


def _name_of(record: FunctionRecord, method: MethodFacts) -> str:
    if method.web is not None and method.web.label is not None:
        return method.web.label
    return f"{record.name}.{method.name}" if record.interface.is_class else record.name


def _facts_of(app: str, record: FunctionRecord, method: MethodFacts) -> dict[str, Any]:
    assert method.web is not None
    return {
        "app": app,
        "name": _name_of(record, method),
        "pool_id": record.pool_id,
        "method": method.name or SERVE,
        "web": method.web.to_dict(),
        "single_use": record.settings.single_use,
        "parameters": record.interface.to_dict()["parameters"],
    }
