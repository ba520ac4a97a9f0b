"""The HTTP server of the gateway: uvicorn's, with limits on the head of a request."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: The largest head of a request: its URL and all of its headers.
MAX_HEAD = 64 * 1024
#: How long a client may take to send the head.
HEAD_SECONDS = 30.0
MAX_MESSAGE = 2 * 2**20
GRACE_SECONDS = 5

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself takes heads of any size and for any time."""

    def connection_made(self, transport: Any) -> None:
        """A client is here; it should say something."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._has_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._has_head()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _has_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.transport.write(_TOO_SLOW)
        self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head = 0
        self._await_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the URL."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._grow(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._has_head()
        super().on_headers_complete()

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise ValueError("the head of the request is too large")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too much of it."""
        self._has_head()
        if self._head > MAX_HEAD:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:
            super().send_400_response(msg)


def make_server(app: Any) -> uvicorn.Server:
    """A server for the gateway; :meth:`uvicorn.Server.serve` runs it on sockets."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=LimitedProtocol,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any that is free."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
