"""Any program that listens on a port, as an ASGI app: passes requests on to it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

from modalnb.exception import ExecutionError
from modalnb.runtime.asgi import MAX_MESSAGE, Event, Receive, Send
from modalnb.runtime.offspring import children
from modalnb.runtime.printing import flush_streams
from modalnb.websettings import WebSettings

HOST = "127.0.0.1"
LOOK_SECONDS = 0.02
WATCH_SECONDS = 1.0
END_SECONDS = 2.0
#: A program that has just cut a connection is looked at so often, to see whether it is dying.
LOOKS = 10
#: The exit status of a container whose program has died.
DEAD = 70

_NOT_PASSED_ON = frozenset({b"connection", b"upgrade", b"host", b"transfer-encoding"})


class Program:
    """What a ``web_server`` function starts, and the way to it."""

    def __init__(self, raw: Callable[..., Any], settings: WebSettings) -> None:
        self._raw = raw
        self._settings = settings
        self._port = settings.port
        self._error: BaseException | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer as the program does."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._pass_websocket(scope, receive, send)
        else:
            await self._pass_request(scope, receive, send)

    # -- its life --------------------------------------------------------------------------

    async def _live(self, receive: Receive, send: Send) -> None:
        import httpcore

        await receive()
        try:
            await self._start()
        except BaseException as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        async with httpcore.AsyncConnectionPool(
            max_connections=None, max_keepalive_connections=100, keepalive_expiry=5.0
        ) as self._pool:
            self._watcher = asyncio.create_task(self._watch())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._watcher.cancel()
            await self._end()
            await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        if not _is_free(self._port):
            self._port = _free_port()
        os.environ["PORT"] = str(self._port)
        # It may return when its program runs, as Modal has it, or be the program itself.
        threading.Thread(target=self._run, name="modalnb-web-server", daemon=True).start()
        deadline = time.monotonic() + self._settings.startup_timeout
        while not await self._accepts():
            if self._error is not None:
                raise self._error
            if time.monotonic() > deadline:
                raise ExecutionError(self._why_silent())
            await asyncio.sleep(LOOK_SECONDS)

    async def _end(self) -> None:
        """Let the program end; what does not end in time is killed with the container."""
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for _ in range(LOOKS):
            if not await self._accepts():
                break
            await asyncio.sleep(END_SECONDS / LOOKS)

    def _run(self) -> None:
        try:
            value = self._raw()
            if inspect.iscoroutine(value):
                asyncio.run(value)
        except BaseException as error:
            self._error = error

    def _why_silent(self) -> str:
        wanted, seconds = self._settings.port, self._settings.startup_timeout
        text = f"`{self._raw.__name__}` did not listen on port {self._port} within {seconds:g} s."
        if self._port == wanted:
            return f"{text} Start the program there, or give `startup_timeout` more seconds."
        return (
            f"{text} Port {wanted} is taken on this machine, where all containers share the "
            "ports; let the program listen on `os.environ['PORT']`, which each container has "
            "for itself."
        )

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, self._port)
        except OSError:
            return False
        writer.close()
        return True

    async def _watch(self) -> None:
        """End the container when nobody listens any more: another one takes its place."""
        while await self._accepts():  # noqa: ASYNC110  (a port has no event for it)
            await asyncio.sleep(WATCH_SECONDS)
        self._die()

    async def _die_if_dead(self) -> None:
        for _ in range(LOOKS):
            if not await self._accepts():
                self._die()
            await asyncio.sleep(LOOK_SECONDS)

    def _die(self) -> None:
        sys.stderr.write(
            f"The program of `{self._raw.__name__}` has ended; so must its container.\n"
        )
        flush_streams()
        os._exit(DEAD)

    # -- HTTP ------------------------------------------------------------------------------

    async def _pass_request(self, scope: Any, receive: Receive, send: Send) -> None:
        import httpcore

        request = httpcore.Request(
            scope["method"].encode(),
            httpcore.URL(scheme="http", host=HOST, port=self._port, target=_target(scope)),
            headers=_request_headers(scope),
            content=_body(receive) if _has_body(scope) else None,
        )
        try:
            response = await self._pool.handle_async_request(request)
        except (httpcore.ConnectError, httpcore.NetworkError, httpcore.RemoteProtocolError):
            await self._die_if_dead()
            raise
        async with contextlib.aclosing(response):
            headers = [pair for pair in response.headers if pair[0].lower() not in _NOT_PASSED_ON]
            await send(
                {"type": "http.response.start", "status": response.status, "headers": headers}
            )
            async for piece in response.aiter_stream():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    # -- WebSockets ------------------------------------------------------------------------

    async def _pass_websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidStatus

        await receive()
        target = _target(scope).decode("ascii")
        try:
            far = await connect(
                f"ws://{HOST}:{self._port}{target}",
                additional_headers=_websocket_headers(scope),
                subprotocols=scope.get("subprotocols") or None,
                compression=None,
                max_size=MAX_MESSAGE,
                user_agent_header=None,
                proxy=None,
            )
        except InvalidStatus:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept", "subprotocol": far.subprotocol})
        up = asyncio.create_task(_pump_up(receive, far))
        try:
            async for message in far:
                key = "text" if isinstance(message, str) else "bytes"
                await send({"type": "websocket.send", key: message})
        except ConnectionClosed:
            pass
        finally:
            up.cancel()
            await asyncio.wait([up])
            await far.close()
        if not up.cancelled() and (error := up.exception()) is not None:
            raise error
        code = far.close_code if far.close_code not in (None, 1005, 1006) else 1000
        await send({"type": "websocket.close", "code": code, "reason": far.close_reason})


async def _pump_up(receive: Receive, far: Any) -> None:
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            code = event.get("code", 1000)
            await far.close(1000 if code in (1005, 1006) else code)
            return
        text = event.get("text")
        await far.send(event["bytes"] if text is None else text)


def _target(scope: Any) -> bytes:
    """The path below the function, as the client wrote it, with the query."""
    root = scope["root_path"].encode()
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    path = path.removeprefix(root) or b"/"
    return path + b"?" + scope["query_string"] if scope["query_string"] else path


def _request_headers(scope: Any) -> list[tuple[bytes, bytes]]:
    headers = [pair for pair in scope["headers"] if pair[0] not in _NOT_PASSED_ON]
    if _has_body(scope) and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"transfer-encoding", b"chunked"))
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return [(b"host", hosts[0] if hosts else HOST.encode()), *headers]


def _has_body(scope: Any) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _websocket_headers(scope: Any) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in scope["headers"]
        if name not in _NOT_PASSED_ON and not name.startswith(b"sec-websocket-")
    ]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        event: Event = await receive()
        if event["type"] == "http.disconnect":
            raise ConnectionError("The client has disconnected.")
        if event.get("body"):
            yield event["body"]
        if not event.get("more_body"):
            return


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
