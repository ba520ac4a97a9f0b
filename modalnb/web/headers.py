"""What changes in a request and in a response on its way through the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from modalnb.web.asgi import Scope

Pair = tuple[bytes, bytes]
Named = dict[bytes, bytes]

#: Of one connection only, so not passed on; and the keys, which are for the gateway.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"modal-key",
        b"modal-secret",
    }
)
_REPLACED = frozenset({b"x-forwarded-for", b"x-forwarded-prefix", b"transfer-encoding"})
_STOPPED_REQUEST = _HOP_BY_HOP | _REPLACED
#: The gateway's server sets the date of each response itself.
_STOPPED_RESPONSE = _HOP_BY_HOP | {b"date", b"transfer-encoding"}
#: Say who asked, and how.
_NOTED = frozenset({b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
#: A Connection header does not make these hop-by-hop: they say what is sent.
_NEVER_NAMED = frozenset(
    {b"close", b"content-length", b"content-type", b"host", b"keep-alive", b"upgrade"}
)
_PREFIX = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?\Z")
_MAX_PREFIX = 1024

#: What an app may use beyond the base of ASGI, if the server can do it.
_EXTENSIONS = ("http.response.trailers", "http.response.early_hint", "websocket.http.response")


def first_values(headers: Sequence[Pair]) -> Named:
    """Each header's first value, by its name in lower case."""
    return dict(reversed(headers))


def has_body(named: Named) -> bool:
    """Whether a request has a body, or says so."""
    return b"transfer-encoding" in named or named.get(b"content-length", b"0") != b"0"


def prefix_of(named: Named) -> bytes:
    """The path under which a proxy in front of the gateway shows it, as it says itself."""
    prefix = named.get(b"x-forwarded-prefix")
    if prefix is None or len(prefix) > _MAX_PREFIX or not _PREFIX.match(prefix):
        return b""
    return prefix.rstrip(b"/")


def passed_on_scope(scope: Scope, root: bytes, rest: bytes, path: str) -> dict[str, Any]:
    """The scope as the app sees it, mounted at `root`.

    Parameters
    ----------
    scope : Scope
        The scope as the server made it.
    root : bytes
        Where the function is found from the outside.
    rest : bytes
        The path below that, as the client wrote it.
    path : str
        The same, decoded.
    """
    headers, noted = _request_headers(scope["headers"])
    scheme = _add_forwarded(headers, noted, root, scope)
    root_path = root.decode("ascii")
    passed: dict[str, Any] = {
        "type": scope["type"],
        "asgi": scope["asgi"],
        "http_version": scope["http_version"],
        "scheme": scheme,
        "path": root_path + path,
        "raw_path": root + rest,
        "query_string": scope["query_string"],
        "root_path": root_path,
        "headers": headers,
        "client": scope["client"],
        "server": scope["server"],
    }
    if scope["type"] == "http":
        passed["method"] = scope["method"]
    else:
        passed["subprotocols"] = scope["subprotocols"]
    if known := scope.get("extensions"):
        passed["extensions"] = {name: {} for name in _EXTENSIONS if name in known}
    return passed


def _request_headers(given: Iterable[Pair]) -> tuple[list[Pair], Named]:
    """The headers that an app gets, and those that say where the request comes from."""
    kept: list[Pair] = []
    noted: Named = {}
    named: set[bytes] = set()
    for pair in given:
        name = pair[0]
        if name in _NOTED:
            noted[name] = pair[1]
        if name not in _STOPPED_REQUEST:
            kept.append(pair)
        elif name == b"connection":
            named |= _names_in(pair[1])
        elif name == b"transfer-encoding":
            # Not of this connection any more, but how an app knows that there is a body.
            kept.append((b"transfer-encoding", b"chunked"))
    if named:
        kept = [pair for pair in kept if pair[0] not in named]
    return kept, noted


def _add_forwarded(headers: list[Pair], noted: Named, root: bytes, scope: Scope) -> str:
    """Say for whom, under which path and by which scheme this was asked; the scheme."""
    address = scope["client"][0].encode() if scope["client"] else b"unknown"
    before = noted.get(b"x-forwarded-for")
    headers.append((b"x-forwarded-for", b"%b, %b" % (before, address) if before else address))
    headers.append((b"x-forwarded-prefix", root))
    scheme: str = scope["scheme"]
    proto = noted.get(b"x-forwarded-proto")
    if proto is None:
        headers.append((b"x-forwarded-proto", b"https" if scheme in ("https", "wss") else b"http"))
    elif proto == b"https":
        scheme = "wss" if scope["type"] == "websocket" else "https"
    host = noted.get(b"host")
    if host is not None and b"x-forwarded-host" not in noted:
        headers.append((b"x-forwarded-host", host))
    return scheme


def passed_on_headers(headers: Iterable[Pair]) -> list[Pair]:
    """The headers of a response as the client sees them."""
    kept, named = [], set()
    for name, value in headers:
        lower = name.lower()
        if lower == b"connection":
            named.update(_names_in(value))
        elif lower not in _STOPPED_RESPONSE:
            kept.append((lower, value))
    return [pair for pair in kept if pair[0] not in named] if named else kept


def _names_in(value: bytes) -> set[bytes]:
    """The headers that a Connection header makes hop-by-hop."""
    return {name.strip().lower() for name in value.split(b",")} - _NEVER_NAMED
