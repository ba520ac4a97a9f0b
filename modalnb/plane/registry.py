"""What is registered: apps, their functions with settings and overrides, and their code."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modalnb.exception import InvalidError, NotFoundError
from modalnb.interface import Interface
from modalnb.messages import names_of_pool, pool_id_of, whole_code
from modalnb.settings import AutoscalerSettings, FunctionSettings, checked_override

#: Decisions kept for each pool.
MAX_DECISIONS = 100


@dataclass(slots=True)
class FunctionRecord:
    """One registered function or class, or a variant of one, which has a pool of its own.

    `override` lies over the declared settings until the next deploy.
    """

    name: str
    pool_id: str
    settings: FunctionSettings
    code: str
    interface: Interface = field(default_factory=Interface)
    #: A variant has the name of its base, the options that differ, and what its containers need
    #: beside the code.
    base: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    init: Any = None
    override: dict[str, Any] = field(default_factory=dict)
    decisions: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_DECISIONS))
    reason: str = ""

    @property
    def is_service(self) -> bool:
        """Whether its containers have something to start before they take inputs."""
        return self.interface.is_service

    @property
    def effective(self) -> FunctionSettings:
        """The settings in force."""
        autoscaler = self.settings.autoscaler.with_override(self.override)
        return replace(self.settings, autoscaler=autoscaler)

    @property
    def has_pool(self) -> bool:
        """Whether it can have containers: a class with parameters has them for each value only."""
        return self.base is not None or not self.interface.parameters


@dataclass(slots=True)
class AppRecord:
    """One app: ephemeral ones end with their owner, deployed ones are found by name."""

    app_id: str
    name: str
    owner: str
    is_deployed: bool = False
    functions: dict[str, FunctionRecord] = field(default_factory=dict)

    def variants(self, base: str) -> list[FunctionRecord]:
        """The variants of a function or class."""
        return [record for record in self.functions.values() if record.base == base]

    @property
    def pools(self) -> list[FunctionRecord]:
        """Those that can have containers."""
        return [record for record in self.functions.values() if record.has_pool]


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
        version starts with what its decorators say.  Variants go where their base goes.
        """
        new = self.apps[self._aliases.get(app_id, app_id)]
        app = self._deployed(name) or new
        dropped = []
        if app is not new:
            dropped = [record.pool_id for record in new.functions.values()]
            self._move(new, app)
            self.remove(new.app_id)
            self._aliases[new.app_id] = app.app_id
        dropped += self.retain(app.app_id, functions)
        app.name, app.is_deployed = name, True
        for record in app.functions.values():
            record.override.clear()
        return app, dropped

    def retain(self, app_id: str, functions: list[str]) -> list[str]:
        """Forget all functions and classes of an app but these; returns the pools that go."""
        app = self.app(app_id)
        records = list(app.functions.values()) if app else []
        gone = [record for record in records if (record.base or record.name) not in functions]
        for record in gone:
            assert app is not None
            del app.functions[record.name]
        return [record.pool_id for record in gone]

    def _move(self, new: AppRecord, app: AppRecord) -> None:
        """Define everything of one app in another."""
        for record in new.functions.values():
            if record.base is None:
                self.define(app, record.name, record.settings, record.code, record.interface)
        for record in new.functions.values():
            if record.base is not None:
                base = app.functions[record.base]
                self.vary(base.pool_id, record.name, record.init, record.options)

    def remove(self, app_id: str) -> AppRecord | None:
        """Forget an app."""
        return self.apps.pop(app_id, None)

    def _deployed(self, name: str) -> AppRecord | None:
        return next((a for a in self.apps.values() if a.is_deployed and a.name == name), None)

    def define(
        self,
        app: AppRecord,
        name: str,
        settings: FunctionSettings,
        code: str,
        interface: Interface | None = None,
    ) -> list[FunctionRecord]:
        """Register a function or class, or a new version of it; returns it and its variants."""
        interface = interface or Interface()
        record = app.functions.get(name)
        if record is None:
            pool_id = pool_id_of(app.app_id, name)
            record = FunctionRecord(name, pool_id, settings, code, interface)
            app.functions[name] = record
            return [record]
        old, record.interface = record.code, interface
        self._renew(record, settings, code)
        variants = app.variants(name)
        for variant in variants:
            variant.interface = interface
            self._renew(variant, _varied(settings, variant), code)
        self._drop_unused(old)
        return [record, *variants]

    @staticmethod
    def _renew(record: FunctionRecord, settings: FunctionSettings, code: str) -> None:
        if record.settings.autoscaler != settings.autoscaler:
            record.override.clear()
        record.settings, record.code = settings, code

    def vary(
        self, pool_id: str, name: str, init: Any, options: Mapping[str, Any]
    ) -> FunctionRecord:
        """The variant of that name of the function or class that has this pool, made if need be.

        Raises
        ------
        NotFoundError
            If there is no such function or class.
        InvalidError
            If the options do not fit its other settings.
        """
        base = self.record(pool_id)
        if base is None:
            function = names_of_pool(pool_id)[1]
            raise NotFoundError(f"'{function}' is not registered; has its app been stopped?")
        app_id = names_of_pool(base.pool_id)[0]
        app = self.apps[app_id]
        settings = base.settings.with_options(options)
        if name not in app.functions:
            app.functions[name] = FunctionRecord(
                name,
                pool_id_of(app_id, name),
                settings,
                base.code,
                base.interface,
                base=base.name,
                options=options,
                init=init,
            )
        return app.functions[name]

    def record(self, pool_id: str) -> FunctionRecord | None:
        """The function that owns a pool."""
        app_id, name = names_of_pool(pool_id)
        app = self.app(app_id)
        return app.functions.get(name) if app else None

    def is_deployed(self, pool_id: str) -> bool:
        """Whether the function that owns a pool belongs to a deployed app."""
        app = self.app(names_of_pool(pool_id)[0])
        return app is not None and app.is_deployed

    def lookup(self, app_name: str, name: str, *, is_class: bool = False) -> FunctionRecord:
        """Find a function or class by names: in the deployed app, else in the latest running one.

        Raises
        ------
        NotFoundError
            If there is none; the text says what there is.
        """
        kind = "Cls" if is_class else "Function"
        named = [app for app in self.apps.values() if app.name == app_name]
        if not named:
            known = sorted({app.name for app in self.apps.values() if app.name})
            raise NotFoundError(
                f"Lookup failed for {kind} '{name}': there is no app '{app_name}'. "
                f"Apps here: {', '.join(known) or 'none'}. Deploy it with `app.deploy()`."
            )
        app = next((app for app in named if app.is_deployed), named[-1])
        record = app.functions.get(name)
        if record is None or record.base is not None:
            known = sorted(record.name for record in app.functions.values() if not record.base)
            raise NotFoundError(
                f"Lookup failed for {kind} '{name}' from the '{app_name}' app; "
                f"it has {', '.join(known) or 'no functions'}."
            )
        if record.interface.is_class != is_class:
            other = "Function" if is_class else "Cls"
            raise NotFoundError(
                f"Lookup failed for {kind} '{name}' from the '{app_name}' app: it is a "
                f"{'function' if is_class else 'class'}. Use `{other}.from_name`."
            )
        return record

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
        """Keep pickled code under the name of its content."""
        self._blobs.setdefault(code, blob)

    def blob(self, code: str) -> Any:
        """The pickled code, or None; `code` may name a method of a class too."""
        return self._blobs.get(whole_code(code))

    def use_code(self, code: str) -> None:
        """A call with this code begins."""
        code = whole_code(code)
        self._uses[code] = self._uses.get(code, 0) + 1

    def release_code(self, code: str) -> None:
        """A call with this code is over."""
        code = whole_code(code)
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


def _varied(settings: FunctionSettings, variant: FunctionRecord) -> FunctionSettings:
    """The settings of a variant of a base with new settings.

    Options that do not fit those any more leave the variant as it was: whoever made it may be
    somebody else, and hears of it when the variant is asked for again.
    """
    try:
        return settings.with_options(variant.options)
    except InvalidError:
        return variant.settings
