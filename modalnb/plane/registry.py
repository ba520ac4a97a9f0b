"""What is registered: apps, their functions with settings and overrides, and their code."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modalnb.exception import InvalidError, NotFoundError
from modalnb.messages import names_of_pool, pool_id_of
from modalnb.settings import AutoscalerSettings, FunctionSettings, checked_override

#: Decisions kept for each pool.
MAX_DECISIONS = 100


@dataclass(slots=True)
class FunctionRecord:
    """One registered function; `override` lies over the declared settings until the next deploy."""

    name: str
    pool_id: str
    settings: FunctionSettings
    code: str
    override: dict[str, Any] = field(default_factory=dict)
    decisions: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_DECISIONS))
    reason: str = ""

    @property
    def effective(self) -> FunctionSettings:
        """The settings in force."""
        autoscaler = self.settings.autoscaler.with_override(self.override)
        return replace(self.settings, autoscaler=autoscaler)


@dataclass(slots=True)
class AppRecord:
    """One app: ephemeral ones end with their owner, deployed ones are found by name."""

    app_id: str
    name: str
    owner: str
    is_deployed: bool = False
    functions: dict[str, FunctionRecord] = field(default_factory=dict)


class Registry:
    """Every app and function of an engine, and the code that inputs may refer to."""

    def __init__(self) -> None:
        self.apps: dict[str, AppRecord] = {}
        self._aliases: dict[str, str] = {}
        self._blobs: dict[str, Any] = {}
        #: How many calls are under way with each code.
        self._uses: dict[str, int] = {}

    # -- apps and functions ----------------------------------------------------------------

    def app(self, app_id: str) -> AppRecord | None:
        """The app of that id, also under an id that a deploy merged into it."""
        return self.apps.get(self._aliases.get(app_id, app_id))

    def open_app(self, app_id: str, name: str, owner: str) -> AppRecord:
        """The app of that id, created if need be."""
        known = self.app(app_id)
        if known is None:
            known = self.apps[app_id] = AppRecord(app_id, name, owner)
        return known

    def deploy(self, app_id: str, name: str, functions: list[str]) -> tuple[AppRecord, list[str]]:
        """Make the app the deployed one of that name, as the next version of what was there.

        Returns the app and the pools that have no function any more.  The pools of functions
        that both versions have go on, with warm containers; overrides are gone, since a new
        version starts with what its decorators say.
        """
        new = self.apps[self._aliases.get(app_id, app_id)]
        app = self._deployed(name) or new
        dropped = []
        if app is not new:
            dropped = [record.pool_id for record in new.functions.values()]
            for record in new.functions.values():
                self.define(app, record.name, record.settings, record.code)
            self.remove(new.app_id)
            self._aliases[new.app_id] = app.app_id
        dropped += [r.pool_id for key, r in app.functions.items() if key not in functions]
        app.functions = {key: r for key, r in app.functions.items() if key in functions}
        app.name, app.is_deployed = name, True
        for record in app.functions.values():
            record.override.clear()
        return app, dropped

    def remove(self, app_id: str) -> AppRecord | None:
        """Forget an app."""
        return self.apps.pop(app_id, None)

    def _deployed(self, name: str) -> AppRecord | None:
        return next((a for a in self.apps.values() if a.is_deployed and a.name == name), None)

    def define(
        self, app: AppRecord, name: str, settings: FunctionSettings, code: str
    ) -> FunctionRecord:
        """Register a function, or a new version of it."""
        record = app.functions.get(name)
        if record is None:
            pool_id = pool_id_of(app.app_id, name)
            record = app.functions[name] = FunctionRecord(name, pool_id, settings, code)
            return record
        if record.settings.autoscaler != settings.autoscaler:
            record.override.clear()
        old, record.settings, record.code = record.code, settings, code
        self._drop_unused(old)
        return record

    def record(self, pool_id: str) -> FunctionRecord | None:
        """The function that owns a pool."""
        app_id, name = names_of_pool(pool_id)
        app = self.app(app_id)
        return app.functions.get(name) if app else None

    def lookup(self, app_name: str, function: str) -> FunctionRecord:
        """Find a function by names: in the deployed app, else in the latest running one."""
        named = [app for app in self.apps.values() if app.name == app_name]
        if not named:
            known = sorted({app.name for app in self.apps.values() if app.name})
            raise NotFoundError(
                f"Lookup failed for Function '{function}': there is no app '{app_name}'. "
                f"Apps here: {', '.join(known) or 'none'}. Deploy it with `app.deploy()`."
            )
        app = next((app for app in named if app.is_deployed), named[-1])
        if function not in app.functions:
            raise NotFoundError(
                f"Lookup failed for Function '{function}' from the '{app_name}' app; "
                f"it has {', '.join(sorted(app.functions)) or 'no functions'}."
            )
        return app.functions[function]

    def override(self, pool_id: str, values: Mapping[str, Any]) -> AutoscalerSettings:
        """Lay more values over the declared settings of a function."""
        record = self.record(pool_id)
        if record is None:
            raise NotFoundError(
                "The function is not registered any more; is its app still running?"
            )
        merged = {**record.override, **checked_override(values)}
        try:
            effective = record.settings.autoscaler.with_override(merged)
        except InvalidError as error:
            raise InvalidError(
                f"{error} (function `{record.name}`, with its settings in force)"
            ) from None
        record.override = merged
        return effective

    # -- code ------------------------------------------------------------------------------

    def add_code(self, code: str, blob: Any) -> None:
        """Keep a pickled function under the name of its content."""
        self._blobs.setdefault(code, blob)

    def blob(self, code: str) -> Any:
        """The pickled function, or None."""
        return self._blobs.get(code)

    def use_code(self, code: str) -> None:
        """A call with this code begins."""
        self._uses[code] = self._uses.get(code, 0) + 1

    def release_code(self, code: str) -> None:
        """A call with this code is over."""
        left = self._uses.get(code, 0) - 1
        if left > 0:
            self._uses[code] = left
            return
        self._uses.pop(code, None)
        self._drop_unused(code)

    def _drop_unused(self, code: str) -> None:
        if code not in self._uses and not any(
            record.code == code for app in self.apps.values() for record in app.functions.values()
        ):
            self._blobs.pop(code, None)
