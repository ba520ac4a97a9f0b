"""The HTTP server of the gateway: uvicorn's, with limits on the head of a request."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modalnb.tunnel import Gathered

#: The largest head of a request: its URL and all of its headers.
MAX_HEAD = 64 * 1024
#: How long a client may take to send the head, and how often that is looked at.
HEAD_SECONDS = 30.0
LOOK_SECONDS = 5.0
#: The largest message of a WebSocket; Modal's own limit.
MAX_MESSAGE = 2 * 2**20
GRACE_SECONDS = 2
BACKLOG = 2048

_REFUSAL = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = _REFUSAL % b"431 Request Header Fields Too Large"
_TOO_SLOW = _REFUSAL % b"408 Request Timeout"


class GatheredTransport:
    """A transport for uvicorn that sends the head and the body of a response together."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        gathered = Gathered(transport)
        self.write, self.flush = gathered.write, gathered.flush

    def close(self) -> None:
        """Send what there is, and end the connection."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself takes heads of any size and for any time."""

    transport: Any

    #: How much of an unfinished head is here, and since when one is due.
    _head = 0
    _due_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        """A client is here; it should say something."""
        self._due_since = time.monotonic()
        super().connection_made(GatheredTransport(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """The response is whole: it goes out now."""
        self.transport.flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Something of a request."""
        was_due = self._due_since is not None
        super().data_received(data)
        if self._due_since is None:
            self._head = 0
        elif was_due:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._due_since = time.monotonic()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._due_since = None
        super().on_headers_complete()

    def give_up(self, now: float) -> None:
        """Refuse a head that does not come to its end."""
        if self._due_since is not None and now - self._due_since > HEAD_SECONDS:
            self._refuse(_TOO_SLOW)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server for the gateway, whose clients must not take their time with a head."""

    def __init__(self, app: Any) -> None:
        super().__init__(
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

    async def watch_heads(self) -> None:
        """Give up on clients that are too slow, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.give_up(now)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any that is free."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        # From now on clients wait instead of being refused, until the server is up.
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
