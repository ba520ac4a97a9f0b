"""Where containers arrive: by a socket on this machine, by mutual TLS from others."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Security

from modalnb import tunnel
from modalnb.exception import ConnectionError
from modalnb.runtime import context
from modalnb.runtime.endpoint import Endpoint
from modalnb.tunnel import Channel
from modalnb.web.lounge import Lounge
from modalnb.websettings import WebSettings

SETTINGS = WebSettings(kind="asgi_app")


class Taken:
    """A lease that waits for its container."""

    def __init__(self) -> None:
        self.channel: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self.book = self

    def on_take(self, lease: object, channel: Channel) -> None:
        self.channel.set_result(channel)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def security() -> Security:
    return Security.temporary()


@pytest.fixture
def as_container() -> Iterator[Any]:
    """Let the code under test believe that it runs in a container with these credentials."""

    def become(security: Security) -> None:
        worker = SimpleNamespace(security=security)
        context.process_home = SimpleNamespace(worker=worker)

    yield become
    context.process_home = None


async def _serve_once(lounge: Lounge, place: dict[str, Any]) -> list[int]:
    """Take up one lease and answer one request; the kinds of the frames that come back."""
    endpoint = Endpoint(lambda: _app, SETTINGS)
    await endpoint.start()
    lease: Any = Taken()
    lounge.by_secret[b"secret"] = lease
    serving = asyncio.ensure_future(endpoint.serve(place, b"secret"))
    channel = await asyncio.wait_for(lease.channel, 10)
    scope = {"type": "http", "method": "GET", "headers": [], "path": "/"}
    channel.write(tunnel.OPEN, tunnel.pack((scope, b"", False)))
    kinds = [(await channel.next())[0] for _ in range(3)]
    channel.write(tunnel.RELEASE)
    assert await serving == 1
    await endpoint.stop()
    return kinds


FRAMES = [tunnel.START, tunnel.LAST, tunnel.DONE]


def test_container_on_this_machine_comes_by_the_socket() -> None:
    async def run() -> list[int]:
        lounge = Lounge()
        await lounge.open()
        folder = Path(lounge.place["path"]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        try:
            return await _serve_once(lounge, lounge.place)
        finally:
            lounge.close()
            assert not folder.exists()

    assert asyncio.run(run()) == FRAMES


def test_container_on_another_machine_comes_by_tls(security: Security, as_container: Any) -> None:
    as_container(security)

    async def run() -> list[int]:
        lounge = Lounge()
        await lounge.open("127.0.0.1", security)
        try:
            return await _serve_once(lounge, {**lounge.place, "host": "another-machine"})
        finally:
            lounge.close()

    assert asyncio.run(run()) == FRAMES


def test_container_with_other_credentials_does_not_get_in(
    security: Security, as_container: Any
) -> None:
    as_container(Security.temporary())

    async def run() -> None:
        lounge = Lounge()
        await lounge.open("127.0.0.1", security)
        endpoint = Endpoint(lambda: _app, SETTINGS)
        try:
            await endpoint.serve({**lounge.place, "host": "another-machine"}, b"secret")
        finally:
            lounge.close()

    with pytest.raises((ConnectionError, ssl.SSLError)):
        asyncio.run(run())


def test_stranger_without_a_certificate_does_not_get_in(security: Security) -> None:
    async def run() -> bytes:
        lounge = Lounge()
        await lounge.open("127.0.0.1", security)
        lounge.by_secret[b"secret"] = lease = Taken()  # type: ignore[assignment]
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", lounge.place["port"], ssl=anyone
            )
            writer.write(b"\x00\x00\x00\x06\x01secret")
            answer = await reader.read()
            writer.close()
        except (OSError, ssl.SSLError):
            answer = b""
        assert not lease.channel.done()
        lounge.close()
        return answer

    assert asyncio.run(run()) == b""


def test_unknown_secret_ends_the_connection() -> None:
    async def run() -> bool:
        lounge = Lounge()
        await lounge.open()
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(Channel, lounge.place["path"])
        channel.write(tunnel.TAKE, b"guess")
        await channel.next()
        lounge.close()
        return channel.is_closed

    assert asyncio.run(run())


def test_gateway_that_is_gone_is_an_error_that_says_so() -> None:
    async def run() -> None:
        place = {"host": "x", "path": "/nowhere/gateway.sock", "address": None, "port": None}
        await Endpoint(lambda: _app, SETTINGS).serve(place, b"secret")

    with pytest.raises(ConnectionError, match="cannot reach the web gateway"):
        asyncio.run(run())


def test_credentials_without_a_certificate_are_refused() -> None:
    async def run() -> None:
        lounge = Lounge()
        try:
            await lounge.open("127.0.0.1", Security())
        finally:
            lounge.close()

    with pytest.raises(ConnectionError, match="no certificate"):
        asyncio.run(run())
