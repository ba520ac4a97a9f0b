"""What changes in headers on the way, without any server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.web import headers as head

HOP_BY_HOP = (b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-connection")
NAMES = st.sampled_from([*HOP_BY_HOP, b"accept", b"x-mine", b"host", b"content-type", b"cookie"])
PAIRS = st.lists(st.tuples(NAMES, st.sampled_from([b"a", b"x-mine", b"close, cookie"])))


def _scope(headers: list[head.Pair], **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "query_string": b"q=1",
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
        "headers": headers,
        **more,
    }


def _passed_on(headers: list[head.Pair], **more: Any) -> dict[str, Any]:
    return head.passed_on_scope(_scope(headers, **more), b"/a/f", b"/x%20y", "/x y")


@given(PAIRS)
def test_hop_by_hop_headers_never_pass(headers: list[head.Pair]) -> None:
    passed = _passed_on(headers)["headers"]
    assert not {name for name, _ in passed} & set(HOP_BY_HOP)
    back = head.passed_on_headers(headers)
    assert not {name for name, _ in back} & set(HOP_BY_HOP)


@given(PAIRS)
def test_other_headers_keep_their_order(headers: list[head.Pair]) -> None:
    values = [value for name, value in headers if name == b"connection"]
    named = {part.strip() for value in values for part in value.split(b",")}
    stopped = {*HOP_BY_HOP, *(named - {b"host", b"content-type"})}
    kept = [pair for pair in headers if pair[0] not in stopped]
    passed = _passed_on(headers)["headers"]
    assert [pair for pair in passed if not pair[0].startswith(b"x-forwarded-")] == kept
    assert head.passed_on_headers(headers) == kept


def test_scope_is_mounted() -> None:
    passed = _passed_on([(b"host", b"h")])
    assert passed["path"] == "/a/f/x y"
    assert passed["raw_path"] == b"/a/f/x%20y"
    assert passed["root_path"] == "/a/f"
    assert passed["method"] == "GET"
    assert (b"x-forwarded-host", b"h") in passed["headers"]
    assert (b"x-forwarded-proto", b"http") in passed["headers"]


def test_chunked_body_is_told_to_apps_and_keys_are_not() -> None:
    sent = [(b"transfer-encoding", b"chunked"), (b"modal-key", b"k"), (b"modal-secret", b"s")]
    names = [name for name, _ in _passed_on(sent)["headers"]]
    assert names.count(b"transfer-encoding") == 1
    assert not any(name.startswith(b"modal-") for name in names)


def test_scheme_is_that_of_the_outermost_proxy() -> None:
    sent = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"public.test")]
    passed = _passed_on(sent)
    assert passed["scheme"] == "https"
    assert [pair for pair in passed["headers"] if pair[0] == b"x-forwarded-host"] == sent[1:]
    socket = _passed_on(sent, type="websocket", subprotocols=["chat"])
    assert (socket["scheme"], socket["subprotocols"]) == ("wss", ["chat"])


def test_only_extensions_that_pass_the_tunnel_are_offered() -> None:
    extensions = {"http.response.trailers": {}, "http.response.pathsend": {}, "tls": {"x": 1}}
    assert _passed_on([], extensions=extensions)["extensions"] == {"http.response.trailers": {}}


@pytest.mark.parametrize(
    ("prefix", "taken"),
    [
        (b"/user/ada/proxy/8000", b"/user/ada/proxy/8000"),
        (b"/a/", b"/a"),
        (b"/", b""),
        (b"a", b""),
        (b"//evil.test", b""),
        (b"/a\r\nset-cookie: x", b""),
        (b"/" + b"a" * 1024, b""),
    ],
)
def test_prefix_must_be_a_path(prefix: bytes, taken: bytes) -> None:
    assert head.prefix_of({b"x-forwarded-prefix": prefix}) == taken


def test_first_of_several_values_counts() -> None:
    assert head.first_values([(b"host", b"a"), (b"host", b"b")]) == {b"host": b"a"}


@pytest.mark.parametrize(
    ("named", "has_body"),
    [
        ({}, False),
        ({b"content-length": b"0"}, False),
        ({b"content-length": b"1"}, True),
        ({b"transfer-encoding": b"chunked"}, True),
    ],
)
def test_body_is_announced(named: head.Named, has_body: bool) -> None:
    assert head.has_body(named) is has_body
