"""Which web function a request is for, by its path or by its host."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from modalnb.interface import ParameterFacts
from modalnb.web.asgi import Scope
from modalnb.web.headers import Named
from modalnb.web.replies import ProblemError
from modalnb.websettings import WebSettings

#: What the gateway knows may be so old while it is used; then it asks again, beside the work.
FRESH_SECONDS = 1.0
#: A path that it does not know makes it ask again, but no more often than this.
MISS_SECONDS = 0.1
#: The longest label of a host name, and how much of a longer one is kept; as Modal does it.
MAX_LABEL, KEPT_LABEL = 63, 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One web function and where it is found."""

    app: str
    name: str
    pool_id: str
    web: WebSettings
    #: What an input names to reach this endpoint in its container.
    method: str
    #: The parameters of its class, which come as query parameters.
    parameters: tuple[ParameterFacts, ...] = ()
    #: Whether a container ends after one input, so that a lease is for one request.
    single_use: bool = False
    #: The pools for values of the parameters that are known already, by their names.
    pools: dict[str, str] = field(default_factory=dict)

    @property
    def host_label(self) -> str:
        """The first label of the host name under which it is found."""
        label = self.web.label or f"{self.app}--{self.name}"
        label = label.lower().replace("_", "-").replace(".", "-")
        if len(label) <= MAX_LABEL:
            return label
        return f"{label[:KEPT_LABEL]}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The function of a request, the path below which it lives, and the path that is left."""

    route: Route
    root: bytes
    rest: bytes


class Routes:
    """The web functions that the plane knows."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Iterable[dict[str, Any]]]], domain: str
    ) -> None:
        self._fetch = fetch
        self._suffix = f".{domain}".encode()
        self._by_path: dict[tuple[bytes, bytes], Route] = {}
        self._by_host: dict[bytes, Route] = {}
        self._asked_at = 0.0
        self._asking: asyncio.Future[None] | None = None

    def all(self) -> list[Route]:
        """All of them, in the order of their URLs."""
        return [route for _, route in sorted(self._by_path.items())]

    async def match(self, scope: Scope, named: Named) -> Match:
        """The function that a request is for.

        Raises
        ------
        ProblemError
            404, if there is none.
        """
        found = self._find(scope, named)
        age = time.monotonic() - self._asked_at
        if found is None:
            # It may be a moment old, so the answer is to be of after the request came.
            await asyncio.sleep(max(0.0, MISS_SECONDS - age))
            await asyncio.shield(self._refresh())
            found = self._find(scope, named)
        elif age > FRESH_SECONDS:
            self._refresh()
        if found is None:
            known = [f"/{route.app}/{route.name}" for route in self.all()]
            raise ProblemError(
                404,
                f"There is no web function here. There is {', '.join(known) if known else 'none'}.",
                functions=known,
            )
        return found

    def _refresh(self) -> asyncio.Future[None]:
        """Ask the plane what there is, once for all who want to know at the same time."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
        return self._asking

    async def _ask(self) -> None:
        try:
            routes = [_route_of(facts) for facts in await self._fetch()]
        finally:
            self._asking = None
            self._asked_at = time.monotonic()
        self._by_path = {(r.app.encode(), r.name.encode()): r for r in routes}
        self._by_host = {r.host_label.encode(): r for r in routes}

    def _find(self, scope: Scope, named: Named) -> Match | None:
        path: bytes = scope["raw_path"]
        host = named.get(b"host", b"").partition(b":")[0].lower()
        if host.endswith(self._suffix):
            route = self._by_host.get(host.removesuffix(self._suffix))
            if route is not None:
                return Match(route=route, root=b"", rest=path)
        # Only what the client wrote decides: a decoded slash is no border.
        app, name = (*path.split(b"/", 3), b"", b"")[1:3]
        if b"%" in app or b"%" in name:
            app, name = unquote_to_bytes(app), unquote_to_bytes(name)
        route = self._by_path.get((app, name))
        if route is None:
            return None
        # The root as it was written, so that both together are what was asked for.
        end = path.find(b"/", path.find(b"/", 1) + 1)
        root = path if end < 0 else path[:end]
        return Match(route=route, root=root, rest=path[len(root) :])


def _route_of(facts: dict[str, Any]) -> Route:
    parameters = tuple(ParameterFacts(**parameter) for parameter in facts["parameters"])
    web = WebSettings.from_dict(facts["web"])
    return Route(**{**facts, "web": web, "parameters": parameters})
