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
_STOPPED_RESPONSE = _HOP_BY_HOP | {b"transfer-encoding"}
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
    headers: list[Pair] = []
    forwarded_for = proto = host = forwarded_host = None
    named: set[bytes] = set()
    for pair in scope["headers"]:
        name = pair[0]
        if name not in _STOPPED_REQUEST:
            headers.append(pair)
            if name == b"host":
                host = pair[1]
            elif name == b"x-forwarded-proto":
                proto = pair[1]
            elif name == b"x-forwarded-host":
                forwarded_host = pair[1]
        elif name == b"x-forwarded-for":
            forwarded_for = pair[1]
        elif name == b"connection":
            named |= _names_in(pair[1])
        elif name == b"transfer-encoding":
            # Not of this connection any more, but how an app knows that there is a body.
            headers.append((b"transfer-encoding", b"chunked"))
    if named:
        headers = [pair for pair in headers if pair[0] not in named]
    client = scope["client"]
    address = client[0].encode() if client else b"unknown"
    headers.append(
        (
            b"x-forwarded-for",
            address if forwarded_for is None else b"%b, %b" % (forwarded_for, address),
        )
    )
    headers.append((b"x-forwarded-prefix", root))
    scheme = scope["scheme"]
    if proto is None:
        headers.append((b"x-forwarded-proto", b"https" if scheme in ("https", "wss") else b"http"))
    elif proto == b"https":
        scheme = "wss" if scope["type"] == "websocket" else "https"
    if forwarded_host is None and host is not None:
        headers.append((b"x-forwarded-host", host))
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
        "client": client,
        "server": scope["server"],
    }
    if scope["type"] == "http":
        passed["method"] = scope["method"]
    else:
        passed["subprotocols"] = scope["subprotocols"]
    if known := scope.get("extensions"):
        passed["extensions"] = {name: {} for name in _EXTENSIONS if name in known}
    return passed


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
    """The headers that a Connection header makes hop-by-hop; never those that say what is sent."""
    names = {name.strip().lower() for name in value.split(b",")}
    return names - {
        b"close",
        b"keep-alive",
        b"upgrade",
        b"content-length",
        b"content-type",
        b"host",
    }
