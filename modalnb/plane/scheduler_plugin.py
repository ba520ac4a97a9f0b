"""The shell on the Dask scheduler: feeds the ledger and carries out its instructions.

It keeps no policy of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.protocol.pickle import dumps

from modalnb import messages as m
from modalnb._dask_compat import send_at_once
from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.guarding import checked
from modalnb.payload import envelope
from modalnb.payload.shared_memory import Depot
from modalnb.plane.catalog import Catalog
from modalnb.plane.desk import Desk
from modalnb.plane.enactor import Enactor
from modalnb.plane.fleet import Fleet
from modalnb.plane.from_containers import FromContainers
from modalnb.plane.graph import CallGraph
from modalnb.plane.keeper import Keeper
from modalnb.plane.registry import Registry
from modalnb.plane.streams import Streams
from modalnb.plane.supply import Supply
from modalnb.settings import Limits

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

logger = logging.getLogger(__name__)

EXPIRE_SECONDS = 600.0
STALL_SECONDS = 1.0


class PlanePlugin(SchedulerPlugin):
    """One plane on one scheduler; registering it twice keeps the first."""

    #: The same for all protocols: of two planes each would take the other's messages.
    name = "modalnb-plane"
    idempotent = True

    def __init__(
        self,
        *,
        containers: WorkerPlugin,
        depot: str | None = None,
        limits: Limits | None = None,
        keep_days: float = 7.0,
    ) -> None:
        #: What turns each Dask worker into a container.
        self.container_plugin = containers
        self.depot_folder = depot
        self.limits = limits
        self.keep_days = keep_days

    async def start(self, scheduler: Scheduler) -> None:
        """Take up work on this scheduler; Dask calls it before the plugin is listed."""
        self.scheduler = scheduler
        self.depot = Depot(self.depot_folder) if self.depot_folder else None
        self.ledger = Ledger(self.limits)
        self.registry = Registry()
        self.keeper = Keeper(self.keep_days * 86_400)
        self.catalog = Catalog(self)
        self.fleet = Fleet(self)
        self.supply = Supply(self)
        self.desk = Desk(self)
        self.enactor = Enactor(self)
        self.streams = Streams(self)
        self.graph = CallGraph()
        self.from_containers = FromContainers(self)
        #: Addresses of workers that run the container plugin, by container id.
        self.addresses: dict[str, str] = {}
        self.hellos: dict[str, dict[str, Any]] = {}
        self.usage: dict[str, dict[str, Any]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0
        self.loop = asyncio.get_running_loop()
        for op, handler in self._stream_handlers().items():
            scheduler.stream_handlers[op] = checked(handler, self._refuse)
        scheduler.handlers[m.RPC] = self.desk.answer
        self.loop.call_later(EXPIRE_SECONDS, self._expire)
        self.loop.call_later(STALL_SECONDS, self._check_stalls)
        await scheduler.register_worker_plugin(
            None, dumps(self.container_plugin), name=self.container_plugin.name, idempotent=True
        )

    def _stream_handlers(self) -> dict[str, Callable[..., None]]:
        return {
            m.DEFINE: self._on_define,
            m.PUT: self._on_put,
            m.CLOSE: self._on_close,
            m.CANCEL: self._on_cancel,
            m.WATCH: self._on_watch,
            m.UNWATCH: self._on_unwatch,
            m.ASK: self._on_ask,
            m.TAKEN: self._on_taken,
            **self.from_containers.handlers,
        }

    def _refuse(self, message: Mapping[str, Any], why: str) -> None:
        """Tell a caller that nothing came of its message, if it waits for something."""
        call_id = message.get("call_id")
        if isinstance(call_id, str):
            self.reply(
                _caller(message.get("client"), message.get("worker")),
                kind="failed",
                call_id=call_id,
                error="ExecutionError",
                text=f"The plane could not carry out a message of call {call_id}: {why}.",
            )

    # -- from callers ----------------------------------------------------------------------

    def _on_define(
        self, *, client: str | None = None, worker: str | None = None, **what: Any
    ) -> None:
        self.catalog.define(owner=_caller(client, worker), **what)

    def _on_put(
        self,
        *,
        call_id: str,
        pool_id: str,
        start: int,
        payloads: tuple[Any, ...],
        code: str | None = None,
        kind: ev.CallKind = "live",
        closed: bool = True,
        patient: bool = False,
        parent: tuple[str, int] | None = None,
        **sender: Any,
    ) -> None:
        caller = _caller(**sender)
        if call_id not in self.ledger.calls and not start:
            record = self.registry.record(pool_id)
            if record is None:
                self._no_function(caller, call_id, pool_id)
                return
            refusal = self.supply.refusal(record.name, self.ledger.pools[record.pool_id].settings)
            if refusal is not None:
                self._fail(caller, call_id, "ResourceUnavailableError", refusal)
                return
            pool_id, code = record.pool_id, m.resolve_code(code, record.code)
            self.registry.use_code(code)
            self.graph.open(call_id, pool_id, record.interface.module, parent)
        if kind == "durable":
            kept = self.keeper.open(call_id, pool_id, caller)
            kept.is_complete = closed
        self.apply(
            ev.InputsPut(
                caller=caller,
                call_id=call_id,
                pool_id=pool_id,
                code=code or "",
                start=start,
                payloads=payloads,
                kind=kind,
                closed=closed,
                patient=patient,
                parent=parent,
            )
        )

    def _no_function(self, caller: str, call_id: str, pool_id: str) -> None:
        name = m.names_of_pool(pool_id)[1]
        text = f"Function '{name}' is not registered; has its app been stopped?"
        self._fail(caller, call_id, "NotFoundError", text)

    def _fail(self, caller: str, call_id: str, error: str, text: str) -> None:
        self.reply(caller, kind="failed", call_id=call_id, error=error, text=text)

    def _on_close(self, *, call_id: str, **sender: Any) -> None:
        if kept := self.keeper.calls.get(call_id):
            kept.is_complete = True
        self.apply(ev.CallClosed(call_id=call_id))

    def _on_taken(self, *, call_id: str, index: int, taken: int, **sender: Any) -> None:
        self.streams.taken(call_id, index, taken)

    def _on_cancel(self, *, call_id: str, **sender: Any) -> None:
        self.apply(ev.CallCancelled(call_id=call_id))

    def _on_watch(
        self,
        *,
        call_id: str,
        start: int,
        stop: int,
        by: tuple[str, int] | None = None,
        **sender: Any,
    ) -> None:
        caller = _caller(**sender)
        if by is not None:
            self.apply(ev.CallAwaited(caller=caller, call_id=call_id, by=by))
        outputs = self.keeper.watch(caller, call_id, start, stop)
        if outputs is None:
            error = self.keeper.missing(call_id)
            self._fail(caller, call_id, type(error).__name__, str(error))
            return
        for batch in _batches(outputs):
            self.reply(caller, kind="kept", outputs=batch)

    def _on_unwatch(self, *, call_id: str, by: tuple[str, int], **sender: Any) -> None:
        self.apply(ev.CallAwaited(caller=_caller(**sender), call_id=call_id, by=by, is_over=True))

    def _on_ask(self, *, ask_id: int, verb: str, arguments: dict[str, Any], **sender: Any) -> None:
        answer = self.desk.answer(verb, arguments)
        caller = _caller(**sender)

        def reply(found: Any) -> None:
            self.reply(caller, kind="answer", ask_id=ask_id, answer=found)

        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(lambda done: reply(done.result()))
        else:
            reply(answer)

    # -- from Dask -------------------------------------------------------------------------

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """A worker has arrived; if it is one of ours, its hello follows."""
        self.from_containers.miss_hello(str(scheduler.workers[worker].name))

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """A worker has gone: what it called is cancelled, what it executed runs elsewhere."""
        self._gone(f"w:{worker}")
        self.from_containers.disconnected(worker)

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        """A caller connects: answer it without Dask's delay."""
        self.loop.call_soon(self._quicken_client, client)

    def _quicken_client(self, client: str) -> None:
        comm = self.scheduler.client_comms.get(client)
        if comm is not None:
            send_at_once(comm)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """A caller has left: what only it wanted is cancelled, its ephemeral apps end."""
        try:
            self._gone(f"c:{client}")
            self.supply.client_left(client)
            self.desk.client_left(client)
        except Exception:
            logger.exception("modalnb: clean-up after client %s failed", client)

    def _gone(self, caller: str) -> None:
        self.apply(ev.CallerGone(caller=caller))
        self.keeper.forget_caller(caller)

    # -- carrying out ----------------------------------------------------------------------

    def apply(self, event: ev.Event) -> None:
        """Give an event to the ledger and carry out what it says."""
        now = time.monotonic()
        self.desk.chronicle.see(event, now)
        for instruction in self.ledger.handle(event, now):
            try:
                self.enactor.enact(instruction)
            except Exception:
                # The ledger has moved on: the other instructions are still to be carried out.
                logger.exception("modalnb: %.300r was not carried out", instruction)
        wake_at = self.ledger.wake_at(now)
        if wake_at is not None and (self._timer is None or wake_at < self._wakes_at):
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at = wake_at
            self._timer = self.loop.call_later(max(0.0, wake_at - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.apply(ev.Tick())

    def _check_stalls(self) -> None:
        """Look once a second whether functions wait for themselves, if any waits for another."""
        self.loop.call_later(STALL_SECONDS, self._check_stalls)
        if self.ledger.book.awaited:
            full = self.desk.full_pools()
            self.apply(ev.StallChecked(full=frozenset(full), rivals=full))

    def _expire(self) -> None:
        for payload in self.keeper.expire(time.time()):
            envelope.discard(payload, self.depot)
        self.loop.call_later(EXPIRE_SECONDS, self._expire)

    # -- sending ---------------------------------------------------------------------------

    def send_to(self, container_id: str, message: dict[str, Any]) -> None:
        """Send to a container, if it is still there."""
        address = self.addresses.get(container_id)
        if address is not None:
            self._send(address, message)

    def _send(self, address: str, message: dict[str, Any]) -> None:
        if address in self.scheduler.stream_comms:
            self.scheduler.worker_send(address, message)

    def reply(self, caller: str, **fields: Any) -> None:
        """Send to a caller, be it a client or a container."""
        kind, _, name = caller.partition(":")
        message = {"op": m.REPLY, **fields}
        if kind == "w":
            self._send(name, message)
        elif name in self.scheduler.client_comms:
            self.scheduler.client_send(name, message)
        else:
            for output in (*fields.get("outputs", ()), *fields.get("elements", ())):
                envelope.discard(output[3], self.depot)


def _caller(client: str | None = None, worker: str | None = None) -> str:
    return f"c:{client}" if client is not None else f"w:{worker}"


def _batches(outputs: list[Any]) -> Iterable[list[Any]]:
    for start in range(0, len(outputs), m.MAX_BATCH):
        yield outputs[start : start + m.MAX_BATCH]
