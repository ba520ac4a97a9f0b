"""Tells the plane what an app has declared: each thing once, and again when it has changed."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb.api import web_url
from modalnb.api.waiting import ask
from modalnb.configuration import config
from modalnb.payload import envelope
from modalnb.variants import Variant

if TYPE_CHECKING:
    from modalnb.api.app import App
    from modalnb.api.bases import Declared
    from modalnb.plane.stub import Stub


class Registration:
    """What the plane has been told of an app."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.lock = threading.RLock()
        #: Where the app is registered.
        self.stub: Stub | None = None
        #: The version of each function and class that was told, and the pools of its variants.
        self._versions: dict[str, Any] = {}
        self._pools: dict[str, dict[str, str]] = {}

    @property
    def is_open(self) -> bool:
        """Whether the app is registered with an engine that runs."""
        return self.stub is not None and not self.stub.is_closed

    def forget(self) -> Stub | None:
        """Nothing is registered any more; returns where it was."""
        with self.lock:
            stub, self.stub = self.stub, None
            self._versions.clear()
            return stub

    def ready(self, stub: Stub, base: Declared, variant: Variant) -> tuple[str, str]:
        """Make sure that the plane knows a pool as it is now; returns its id and its code."""
        with self.lock:
            if self.stub is not stub:
                self.ready_all(stub)
            code = self._tell(stub, base)
            return self._pool_of(stub, base, variant), code

    def ready_all(self, stub: Stub) -> None:
        """Make sure that the plane knows all that the app has declared as it is now."""
        with self.lock:
            if self.stub is not stub:
                self.stub = stub
                self._versions.clear()
            for base in self._app._bases():
                self._tell(stub, base)

    def _tell(self, stub: Stub, base: Declared) -> str:
        definition = base.definition()
        version = (definition.code, base.settings, config.gpu_fallback)
        if self._versions.get(base.name) == version:
            return definition.code
        self._versions[base.name] = version
        self._pools[base.name] = {}
        for handle in definition.handles:
            # What the code calls must be known before it runs.
            handle._ensure(stub)
        stub.send(
            m.DEFINE,
            app=(self._app.app_id, self._app.name or ""),
            function=base.name,
            settings=replace(base.settings, gpu_fallback=config.gpu_fallback == "cpu").to_dict(),
            interface=base.interface.to_dict(),
            code=definition.code,
            # The plane forgets code that nothing refers to any more, so it always travels along.
            blob=definition.blob,
        )
        if base.interface.has_web:
            web_url.open_gateway(stub)
        return definition.code

    def _pool_of(self, stub: Stub, base: Declared, variant: Variant) -> str:
        pool_id = m.pool_id_of(self._app.app_id, base.name)
        if variant.is_plain:
            return pool_id
        pools = self._pools[base.name]
        name = variant.name_of(base.name)
        if name not in pools:
            pools[name] = ask_variant(stub, pool_id, name, variant)
        return pools[name]


def ask_variant(stub: Stub, pool_id: str, name: str, variant: Variant) -> str:
    """Let the plane make a variant of what has this pool, unless it is there; returns its pool."""
    answer = ask(
        stub,
        "variant",
        pool_id=pool_id,
        name=name,
        init=envelope.pack(variant, None, "class parameters"),
        options=dict(variant.options),
    )
    return str(answer["pool_id"])
