"""The gateway as an ASGI app: finds the function, keeps the limits, has the request answered."""

from __future__ import annotations

import html
import time
import traceback
from typing import Any
from urllib.parse import unquote

from modalnb.plane.stub import Stub
from modalnb.web import headers as head
from modalnb.web.asgi import Receive, Scope, Send
from modalnb.web.keys import KeyRing
from modalnb.web.leases import LeaseBook
from modalnb.web.lounge import Lounge
from modalnb.web.patrol import Patrol
from modalnb.web.rate import Meter, Rate
from modalnb.web.relay import (
    MAX_BODY,
    WATCH_SECONDS,
    AbortError,
    ClientGoneError,
    Relay,
    too_large,
)
from modalnb.web.replies import ProblemError, reply, reply_problem
from modalnb.web.results import PARAMETER, Client, Results
from modalnb.web.routes import Route, Routes
from modalnb.web.sockets import SocketRelay
from modalnb.web.variants import pool_of


class Gateway:
    """Answers every request: by a web function, or with a problem that says what is wrong."""

    def __init__(
        self,
        stub: Stub,
        routes: Routes,
        lounge: Lounge,
        rate: Rate,
        keys: KeyRing,
        results: Results,
        printer: Any,
    ) -> None:
        self._stub = stub
        self._routes = routes
        self._lounge = lounge
        self._rate = rate
        self._meter = Meter()
        self._keys = keys
        self._results = results
        self._printer = printer
        self._patrol = Patrol(WATCH_SECONDS)
        self.books: dict[tuple[str, str], LeaseBook] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one WebSocket."""
        try:
            await self._serve(scope, receive, send)
        except ProblemError as problem:
            await reply_problem(scope, send, problem)
        except ClientGoneError:
            pass
        except AbortError:
            raise
        except Exception:
            # The server answers 500 or cuts the connection; somebody should know why.
            self._printer([("gateway", "stderr", traceback.format_exc())])
            raise

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = head.first_values(scope["headers"])
        is_root = scope["path"] == "/" and _is_read(scope)
        if is_root and await self._show_index(scope, named, send):
            return
        match = await self._routes.match(scope, named)
        if match.route.web.requires_proxy_auth:
            self._check_key(match.route, named)
        self._check_rate()
        prefix = head.prefix_of(named)
        rest = match.rest
        if not rest:
            if _is_page(scope, named):
                await _redirect(scope, prefix, send)
                return
            rest = b"/"
        path = rest.decode("ascii")
        if "%" in path:
            path = unquote(path)
        passed_on = head.passed_on_scope(scope, prefix + match.root, rest, path)
        pool_id = await pool_of(self._stub, match.route, scope["query_string"])
        book = self._book(match.route, pool_id)
        if scope["type"] == "websocket":
            await SocketRelay(book, receive, send).run(passed_on)
        else:
            await self._relay(book, named, passed_on, (scope, receive, send))

    async def _relay(
        self,
        book: LeaseBook,
        named: head.Named,
        passed_on: dict[str, Any],
        request: tuple[Scope, Receive, Send],
    ) -> None:
        scope, receive, send = request
        is_direct = not self._results.seconds
        client = None if is_direct else Client()
        if client is not None:
            if PARAMETER in scope["query_string"]:
                await self._results.resume(scope, passed_on, (receive, send))
                return
            client.attach(receive, send)
        ends = (receive, send) if client is None else (client.receive, client.send)
        relay = Relay(book, self._patrol, scope, *ends)
        if head.has_body(named):
            _check_size(named)
            await relay.read_first()
        if client is None:
            await relay.run(passed_on)
        else:
            await self._results.run(relay, client, passed_on, send)

    def _book(self, route: Route, pool_id: str) -> LeaseBook:
        key = (pool_id, route.method)
        book = self.books.get(key)
        if book is None:
            book = self.books[key] = LeaseBook(
                self._stub,
                pool_id,
                route,
                self._lounge.place,
                self._lounge.by_secret,
                self._printer,
            )
        return book

    # -- limits ----------------------------------------------------------------------------

    def _check_key(self, route: Route, named: head.Named) -> None:
        given = [named.get(name, b"") for name in (b"modal-key", b"modal-secret")]
        key, secret = [value.decode("utf-8", "surrogateescape") for value in given]
        if not self._keys.admits(key, secret):
            raise ProblemError(
                401,
                f"`{route.name}` needs the headers Modal-Key and Modal-Secret of a key that "
                "`modalnb token new` has made.",
                headers=[(b"www-authenticate", b"Modal-Key")],
            )

    def _check_rate(self) -> None:
        now = time.monotonic()
        rate = self._meter.count(now)
        if rate is not None and self._rate.per_second:
            self._stub.ask("web_rate", rate=rate, maximum=self._rate.per_second)
        wait = self._rate.admit(now)
        if wait:
            raise ProblemError(
                429,
                f"More than {self._rate.per_second:g} requests a second. Try again later.",
                retry_after=wait,
                limit="web requests a second",
                maximum=self._rate.per_second,
            )

    # -- pages of its own ------------------------------------------------------------------

    async def _show_index(self, scope: Scope, named: head.Named, send: Send) -> bool:
        """Show what there is at the root, unless the host names a function."""
        try:
            await self._routes.match(scope, named)
        except ProblemError:
            pass
        else:
            return False
        prefix = head.prefix_of(named).decode("ascii")
        items = [
            f'<li><a href="{html.escape(f"{prefix}/{route.app}/{route.name}/")}">'
            f"{html.escape(route.app)} / {html.escape(route.name)}</a></li>"
            for route in self._routes.all()
        ]
        listed = "".join(items) or "<li>none yet</li>"
        page = f"<!doctype html><title>modalnb</title><h1>Web functions</h1><ul>{listed}</ul>"
        await reply(send, 200, page.encode(), b"text/html; charset=utf-8")
        return True


def _check_size(named: head.Named) -> None:
    if int(named.get(b"content-length", b"0")) > MAX_BODY:
        raise too_large()


def _is_page(scope: Scope, named: head.Named) -> bool:
    """Whether a browser asks for a page, whose relative links need the slash at the end."""
    return _is_read(scope) and b"text/html" in named.get(b"accept", b"")


def _is_read(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")


async def _redirect(scope: Scope, prefix: bytes, send: Send) -> None:
    query = scope["query_string"]
    target = prefix + scope["raw_path"] + b"/"
    location = target + b"?" + query if query else target
    await reply(send, 307, b"", b"text/plain", [(b"location", location)])
