"""The only place that touches private names of Dask; each with the reason and the version seen.

Checked against distributed 2026.8.0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import dask
import distributed.scheduler
from distributed import Client, Scheduler, Worker
from distributed.batched import BatchedSend
from distributed.comm import CommClosedError
from distributed.comm.tcp import TCP

from modalnb.guarding import guarded

logger = logging.getLogger(__name__)

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


class PromptSend(BatchedSend):
    """A stream that writes in the next turn of its loop what was sent in this one.

    Dask's own waits for an interval to pass, and even without one it takes three turns, a timer,
    a task and an exception for each write: half of what a call costs.  Only for TCP, whose
    ``write`` has nothing to wait for once it may not pass large messages to a thread.
    """

    buffer: list[Any]
    #: Whether a write is to come in the next turn.
    _is_due = False

    def send(self, *messages: Any) -> None:
        """Send messages; those of one turn go out together."""
        if self.comm is not None and self.comm.closed():
            raise CommClosedError(f"Comm {self.comm!r} already closed.")
        self.message_count += len(messages)
        self.buffer.extend(messages)
        if not self._is_due:
            self._is_due = True
            self.loop.asyncio_loop.call_soon(self._write)

    def _write(self) -> None:
        self._is_due = False
        if self.please_stop or not self.buffer:
            return
        messages, self.buffer = self.buffer, []
        self.batch_count += 1
        writing = self.comm.write(messages, serializers=self.serializers, on_error="raise")
        try:
            writing.send(None)
        except StopIteration as written:
            self.byte_count += written.value
            return
        except CommClosedError:
            logger.info("Comm %r was closed", self.comm)
        except Exception:
            logger.exception("Error in write")
        else:
            logger.error("Comm %r waits where it did not; is this Dask supported?", self.comm)
        finally:
            writing.close()
        # As Dask does it: what was written of it is unknown, so nothing may follow.
        self.stopped.set()
        self.abort()


def send_at_once(stream: BatchedSend | None) -> None:
    """Send each message without the 2 to 10 ms for which Dask waits for others."""
    if stream is None:
        return
    if type(stream) is BatchedSend and isinstance(stream.comm, TCP):
        stream.comm.allow_offload = False
        stream.__class__ = PromptSend
    else:
        stream.interval = 0.0


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
