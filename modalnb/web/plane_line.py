"""The gateway's connection to the plane: a Dask client on the gateway's own event loop."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from modalnb import messages as m
from modalnb._dask_compat import on_stream
from modalnb.cluster.session import connect_client
from modalnb.payload.shared_memory import Depot
from modalnb.plane.stub import Stub

if TYPE_CHECKING:
    from distributed import Security

    from modalnb._dask_compat import LineClient


class PlaneLine:
    """One loop for HTTP and for the plane, so that a request crosses no thread."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.client: LineClient

    async def connect(self, address: str, security: Security | None) -> Stub:
        """Connect; returns the stub that puts inputs.

        Raises
        ------
        Error
            If there is no plane of our version.
        """
        self.client = await connect_client(address, security)
        rpc = getattr(self.client.scheduler, m.RPC)
        answer = await rpc(verb="greet", arguments={"version": m.PROTOCOL})
        m.raise_error(answer)
        depot = answer["depot"]
        stub = Stub(self, Depot(depot) if depot and os.access(depot, os.W_OK) else None)
        on_stream(self.client, m.REPLY, stub.on_reply)
        return stub

    def send(self, message: dict[str, Any]) -> None:
        """Send on the stream of the client."""
        self.client.post(message)

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        await self.client.lost.wait()

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()
