"""Which function a request is for, and how the gateway learns of functions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modalnb.web.replies import ProblemError
from modalnb.web.routes import Match, Route, Routes
from modalnb.websettings import WebSettings

ASGI = WebSettings(kind="asgi_app")


def _facts(app: str = "shop", name: str = "web", **more: Any) -> dict[str, Any]:
    return {
        "app": app,
        "name": name,
        "pool_id": f"ap-1/{name}",
        "method": "serve",
        "web": ASGI.to_dict(),
        "parameters": [],
        "single_use": False,
        **more,
    }


class Plane:
    """Tells what there is, and counts how often it was asked."""

    def __init__(self, *facts: dict[str, Any]) -> None:
        self.facts = list(facts)
        self.asked = 0

    async def fetch(self) -> list[dict[str, Any]]:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.facts


def _match(routes: Routes, path: bytes, host: bytes = b"127.0.0.1:80") -> Any:
    return routes.match({"raw_path": path, "headers": []}, {b"host": host})


def _found(path: bytes, host: bytes = b"x", *facts: dict[str, Any]) -> Match:
    async def run() -> Match:
        match: Match = await _match(Routes(Plane(*facts or (_facts(),)).fetch, "test"), path, host)
        return match

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "root", "rest"),
    [
        (b"/shop/web", b"/shop/web", b""),
        (b"/shop/web/", b"/shop/web", b"/"),
        (b"/shop/web/a/b%2Fc", b"/shop/web", b"/a/b%2Fc"),
        (b"/%73hop/web/a", b"/%73hop/web", b"/a"),
        (b"/shop/web//a", b"/shop/web", b"//a"),
    ],
)
def test_path_is_split_where_the_function_ends(path: bytes, root: bytes, rest: bytes) -> None:
    match = _found(path)
    assert (match.root, match.rest) == (root, rest)
    assert match.root + match.rest == path


@pytest.mark.parametrize(
    "path", [b"/", b"*", b"/shop", b"/shop/", b"/shop/webs", b"/shop%2Fweb", b"/../shop/web", b"//"]
)
def test_other_paths_lead_nowhere(path: bytes) -> None:
    with pytest.raises(ProblemError) as failed:
        _found(path)
    assert failed.value.status == 404
    assert failed.value.facts["functions"] == ["/shop/web"]


def test_host_leads_to_a_function_too() -> None:
    match = _found(b"/a", b"shop--web.test:8000")
    assert (match.root, match.rest) == (b"", b"/a")
    labelled = _facts(web=WebSettings(kind="asgi_app", label="front").to_dict())
    assert _found(b"/a", b"FRONT.test", labelled).root == b""


def test_long_host_label_ends_in_a_hash() -> None:
    route = Route(app="a" * 60, name="b" * 30, pool_id="", method="serve", web=ASGI)
    assert len(route.host_label) == 63
    other = Route(app="a" * 60, name="b" * 29, pool_id="", method="serve", web=ASGI)
    assert route.host_label != other.host_label


def test_many_at_once_ask_the_plane_once() -> None:
    async def run() -> int:
        plane = Plane(_facts())
        routes = Routes(plane.fetch, "test")
        await asyncio.gather(*(_match(routes, b"/shop/web/") for _ in range(20)))
        return plane.asked

    assert asyncio.run(run()) == 1


def test_new_function_is_found_by_its_first_request() -> None:
    async def run() -> Match:
        plane = Plane(_facts())
        routes = Routes(plane.fetch, "test")
        await _match(routes, b"/shop/web/")
        plane.facts.append(_facts(name="new"))
        match: Match = await _match(routes, b"/shop/new/")
        return match

    assert asyncio.run(run()).route.name == "new"


def test_guesses_do_not_trouble_the_plane() -> None:
    async def run() -> int:
        plane = Plane(_facts())
        routes = Routes(plane.fetch, "test")
        for _ in range(3):
            guesses = [_match(routes, b"/shop/%d/" % n) for n in range(100)]
            outcomes = await asyncio.gather(*guesses, return_exceptions=True)
            assert all(isinstance(outcome, ProblemError) for outcome in outcomes)
        return plane.asked

    assert asyncio.run(run()) == 3
