"""The only place that touches private names of Dask; each with the reason and the version seen.

Checked against distributed 2026.8.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import dask
import distributed.scheduler
from distributed import Client, Scheduler, Worker
from distributed.batched import BatchedSend

from modalnb.guarding import guarded

#: Dask's defaults keep an idle worker busy for 3.3 % of a core; these make it 0.3 %.
LEAN = {
    "distributed.admin.low-level-log-length": 10,
    "distributed.admin.event-loop": "asyncio",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "2s",
    "distributed.admin.tick.limit": "60s",
    "distributed.client.heartbeat": "10s",
    "distributed.comm.retry.count": 0,
    "distributed.diagnostics.nvml": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.daemon": False,
    "distributed.worker.http.routes": [],
    "distributed.worker.memory.monitor-interval": "10s",
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.use-file-locking": False,
}

HEARTBEAT_SECONDS = 5.0


def use_lean_config() -> None:
    """Set the lean configuration for this process."""
    dask.config.set(LEAN)


def slow_heartbeats() -> None:
    """The scheduler dictates the workers' heartbeat; the constructor argument is overwritten."""
    distributed.scheduler.heartbeat_interval = lambda n: HEARTBEAT_SECONDS


class _AtOnce:
    """An interval without an end: after a message, the stream waits for another, not for a time.

    With an interval of zero Dask would wait for a deadline that has passed: a timer and an
    exception for each message, a tenth of what a call costs.
    """

    def __radd__(self, now: float) -> None:
        return None


def send_at_once(stream: BatchedSend | None) -> None:
    """Send each message as soon as the one before it is written, instead of after 2 to 10 ms."""
    if stream is not None:
        stream.interval = _AtOnce()


class ClosedScheduler(Scheduler):
    """A scheduler without the HTTP server that Dask starts even with the dashboard off."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Open no port that has no TLS."""
        self.http_application = _NoApplication()
        self.http_server = _NoServer()


class ClosedWorker(Worker):
    """A worker without an HTTP server."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Open no port that has no TLS."""
        self.http_application = _NoApplication()
        self.http_server = _NoServer()


class _NoApplication:
    """Stands where Dask expects the routes of an HTTP server."""

    applications: tuple[Any, ...] = ()

    def add_application(self, application: Any) -> None:
        """There is no server to add it to."""


class _NoServer:
    """Stands where Dask expects an HTTP server to stop."""

    def stop(self) -> None:
        """Nothing listens."""


class LineClient(Client):
    """A client that reports a lost connection instead of trying, and logging, for 30 seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Set when the connection to the scheduler is gone.
        self.lost = asyncio.Event()
        super().__init__(*args, **kwargs)

    def post(self, message: dict[str, Any]) -> None:
        """Send on the stream of this client; only from its loop."""
        self._send_to_scheduler(message)

    async def _reconnect(self) -> None:
        for callback in self._periodic_callbacks.values():
            callback.stop()
        self.lost.set()


def on_stream(client: Client, op: str, handler: Callable[..., None]) -> None:
    """Call `handler` for messages of the scheduler to this client; Dask has no public hook."""
    client._stream_handlers[op] = guarded(handler)


def quicken_client(client: Client) -> None:
    """Send what this client has to say at once; to be repeated after a reconnect."""
    send_at_once(client.scheduler_comm)


def quicken_worker(worker: Worker) -> None:
    """Send what this worker has to say at once."""
    send_at_once(worker.batched_stream)
