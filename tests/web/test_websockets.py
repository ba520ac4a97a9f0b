"""WebSockets through the gateway, judged by the client of the `websockets` package."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

import modalnb
from tests.web.conftest import Url

Open = Callable[..., ClientConnection]
Wait = Callable[..., None]

MIB = 2**20
MANY = 200


def _ws(address: str) -> str:
    return address.replace("http://", "ws://")


def _open(address: str, **options: object) -> ClientConnection:
    return connect(_ws(address), proxy=None, **options)  # type: ignore[call-overload,no-any-return]


def test_messages_pass_both_ways(url: Url) -> None:
    with _open(url("api/ws")) as socket:
        for message in ("hello", "ünïcode", b"\x00\xff", "", b""):
            socket.send(message)
            assert socket.recv(timeout=10) == message


def test_large_message_passes(url: Url) -> None:
    with _open(url("api/ws"), max_size=4 * MIB, compression=None) as socket:
        message = b"x" * (2 * MIB)
        socket.send(message)
        assert socket.recv(timeout=20) == message


def test_too_large_message_of_the_client_ends_it(url: Url) -> None:
    def talk() -> None:
        with _open(url("api/ws"), compression=None) as socket:
            socket.send(b"x" * (2 * MIB + 1))
            socket.recv(timeout=10)

    with pytest.raises(ConnectionClosedError):
        talk()


def test_too_large_message_of_the_app_fails_it(url: Url) -> None:
    with _open(url("api/ws")) as socket:
        socket.send("big")
        with pytest.raises(ConnectionClosedError) as failed:
            socket.recv(timeout=10)
    assert failed.value.rcvd is not None
    assert failed.value.rcvd.code == 1011


def test_subprotocol_is_agreed_on(url: Url) -> None:
    protocols = [Subprotocol("other"), Subprotocol("chat")]
    with _open(url("api/ws"), subprotocols=protocols) as socket:
        assert socket.subprotocol == "chat"


def test_close_code_and_reason_of_the_app_arrive(url: Url) -> None:
    with _open(url("api/ws")) as socket:
        socket.send("close")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")


def test_app_hears_the_close_code_of_the_client(
    client: httpx.Client, url: Url, wait_until: Wait
) -> None:
    with _open(url("api/ws")) as socket:
        socket.close(4321)
    wait_until(lambda: "closed 4321" in client.get(url("api/log")).json())


def test_app_hears_of_a_client_that_vanishes(
    client: httpx.Client, url: Url, site: modalnb.App, wait_until: Wait
) -> None:
    socket = _open(url("api/ws"))
    socket.socket.close()
    wait_until(lambda: "closed 1005" in client.get(url("api/log")).json())
    wait_until(lambda: site.registered_functions["api"].snapshot().running == 0)


def test_refused_handshake_is_a_403(url: Url) -> None:
    with pytest.raises(InvalidStatus) as refused, _open(url("api/refused")):
        pass
    assert refused.value.response.status_code == 403


def test_unknown_function_refuses_the_handshake(url: Url) -> None:
    address = str(httpx.URL(url("api")).copy_with(path="/site/nothing"))
    with pytest.raises(InvalidStatus) as refused, _open(address):
        pass
    assert refused.value.response.status_code == 404


def test_open_websocket_is_a_running_input(url: Url, site: modalnb.App, wait_until: Wait) -> None:
    function = site.registered_functions["api"]
    with _open(url("api/ws")) as socket:
        socket.send("x")
        assert socket.recv(timeout=10) == "x"
        wait_until(lambda: function.snapshot().running == 1)
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
            # The timeout of the function is 3 s, and holds for WebSockets too.
            socket.recv(timeout=10)
    wait_until(lambda: function.snapshot().running == 0)


def test_websockets_are_not_bound_by_the_usual_limit_of_descriptors() -> None:
    """All in one container, of an engine that was started with a low limit."""
    code = f"""
        import asyncio, resource
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        import modalnb as modal

        app = modal.App("many")

        @app.function(max_containers=1)
        @modal.concurrent(max_inputs={MANY})
        @modal.asgi_app()
        def web():
            async def echo(scope, receive, send):
                assert scope["type"] == "websocket"
                await receive()
                await send({{"type": "websocket.accept"}})
                event = await receive()
                await send({{"type": "websocket.send", "text": event["text"]}})
                await receive()
            return echo

        async def talk(url):
            from websockets.asyncio.client import connect
            limit = asyncio.Semaphore(20)
            async def open_one():
                async with limit:
                    return await connect(url.replace("http", "ws"), proxy=None, open_timeout=60)
            opened = await asyncio.gather(*(open_one() for _ in range({MANY})))
            for n, one in enumerate(opened):
                await one.send(str(n))
            answers = [int(await one.recv()) for one in opened]
            for one in opened:
                one.transport.abort()
            return answers

        with app.run():
            url = web.get_web_url()
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            assert asyncio.run(talk(url)) == list(range({MANY}))
            print("well")
    """
    line = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=150)
    assert done.stdout.endswith("well\n"), done.stderr
