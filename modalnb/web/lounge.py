"""Where containers arrive: the gateway's end of the tunnel, on a socket that only its user sees."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from typing import Any

from modalnb.exception import ConnectionError
from modalnb.tunnel import Channel
from modalnb.web.leases import Lease


class Lounge:
    """The socket that containers dial, and the leases that they may take up."""

    def __init__(self) -> None:
        #: Leases that a container may show the secret of.
        self.by_secret: dict[bytes, Lease] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="modalnb-web-")  # mode 0700
        self._servers: list[asyncio.AbstractServer] = []
        #: How containers find it.
        self.place: dict[str, Any] = {
            "host": socket.gethostname(),
            "path": os.path.join(self._folder.name, "gateway.sock"),
            "address": None,
            "port": None,
        }

    async def open(self, address: str | None = None, security: Any = None) -> None:
        """Listen on this machine; with `address` for containers on others too, by mutual TLS."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self._channel, self.place["path"]))
        if address is not None:
            context = _context(security) if security is not None else None
            server = await loop.create_server(self._channel, address, 0, ssl=context)
            self._servers.append(server)
            self.place |= {"address": address, "port": server.sockets[0].getsockname()[1]}

    def _channel(self) -> Channel:
        return Channel(self._on_take)

    def _on_take(self, channel: Channel, secret: bytes) -> None:
        lease = self.by_secret.get(secret)
        if lease is None:
            channel.close()
        else:
            lease.book.on_take(lease, channel)

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()
        self._folder.cleanup()


def _context(security: Any) -> Any:
    """What makes both ends of a connection prove that they belong to this cluster.

    Raises
    ------
    ConnectionError
        If the credentials are not enough for that.
    """
    for role in ("worker", "scheduler", "client"):
        context = security.get_listen_args(role).get("ssl_context")
        if context is not None:
            return context
    raise ConnectionError(
        "The credentials for the cluster have no certificate with which a web gateway could "
        "listen. Give `security` a `tls_client_cert` and a `tls_client_key`."
    )
