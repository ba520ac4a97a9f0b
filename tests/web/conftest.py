"""One site with web functions of each kind, behind a gateway as users have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

import modalnb
from modalnb.api import current
from modalnb.api.waiting import ask
from tests.web.sites import make_site

Url = Callable[[str], str]


@pytest.fixture(scope="session")
def site(engine: None) -> Iterator[modalnb.App]:
    """The app, running; afterwards the plane's books are right."""
    app = make_site()
    with app.run():
        yield app
        ask(current.stub(), "validate")


@pytest.fixture
def url(site: modalnb.App) -> Url:
    """The URL of a web function, and of a path below it."""

    def url(path: str) -> str:
        name, _, rest = path.partition("/")
        base = site.registered_functions[name].get_web_url()
        assert base is not None
        return f"{base}/{rest}" if rest else base

    return url


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """An independent HTTP client."""
    with httpx.Client(timeout=30.0) as client:
        yield client
