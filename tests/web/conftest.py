"""One site with web functions of each kind, behind a gateway as users have it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import modalnb
from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.cluster.gateway import GatewayProcess, options_of
from modalnb.web.keys import KeyRing
from tests.web.sites import make_site

Url = Callable[[str], str]


@pytest.fixture(scope="session")
def config_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the keys, instead of the user's own."""
    folder = tmp_path_factory.mktemp("config")
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_CONFIG_HOME"]
    else:
        os.environ["XDG_CONFIG_HOME"] = before


@pytest.fixture(scope="session")
def site(engine: None, config_home: Path) -> Iterator[modalnb.App]:
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


@pytest.fixture
def open_gateway(site: modalnb.App) -> Iterator[Callable[..., str]]:
    """Start one more gateway, with options of its own; returns its URL."""
    session, opened = current.session(), []

    def start(**options: object) -> str:
        gateway = GatewayProcess({**options_of(session), **options}, lambda lines: None)
        opened.append(gateway)
        return f"http://127.0.0.1:{gateway.wait_open()['port']}"

    yield start
    for gateway in opened:
        gateway.close()


@pytest.fixture(scope="session")
def ring(config_home: Path) -> KeyRing:
    """The keys of this user, in a folder of the tests."""
    return KeyRing()


@pytest.fixture(scope="session")
def keys(ring: KeyRing) -> tuple[str, str]:
    """A key and its secret."""
    return ring.new("tests")
