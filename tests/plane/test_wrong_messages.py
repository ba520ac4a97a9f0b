"""Whatever arrives, the plane goes on: nothing escapes its handlers, the ledger stays whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from modalnb import messages as m
from modalnb.core import events as ev
from modalnb.core import invariants
from modalnb.interface import Interface
from modalnb.plane.scheduler_plugin import PlanePlugin
from modalnb.settings import BatchSettings, FunctionSettings, Limits, Retries
from tests.wrong_fields import fields_of, leases, numbers, payloads

WORKERS = ("tls://1", "tls://2")
CLIENTS = ("client-1", "client-2")
BATCH = BatchSettings(max_batch_size=3, wait_ms=0)
RETRIES = Retries(max_retries=1, initial_delay=0)


class Scheduler:
    """As much of Dask's scheduler as a plane uses; it remembers what was sent."""

    def __init__(self) -> None:
        self.stream_handlers: dict[str, Callable[..., None]] = {}
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.stream_comms = {worker: SimpleNamespace(interval=1.0) for worker in WORKERS}
        self.client_comms = {client: SimpleNamespace(interval=1.0) for client in CLIENTS}
        self.workers = {worker: SimpleNamespace(name=f"box-{worker[-1]}") for worker in WORKERS}
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def worker_send(self, worker: str, message: dict[str, Any]) -> None:
        self.sent.append((worker, message))

    def client_send(self, client: str, message: dict[str, Any]) -> None:
        self.sent.append((client, message))

    async def register_worker_plugin(self, *args: Any, **kwargs: Any) -> None:
        """The containers of this scheduler only say what the test says."""


class Stage:
    """A plane on such a scheduler."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.scheduler = Scheduler()
        self.plane = PlanePlugin(
            containers=WorkerPlugin(), limits=Limits(pending=8, total=12, pending_spawns=8)
        )
        self.plane.container_plugin.name = "nothing"
        loop.run_until_complete(self.plane.start(self.scheduler))

    def hear(self, op: str, fields: dict[str, Any], **sender: str) -> None:
        """Take in a message as Dask hands it over."""
        self.scheduler.stream_handlers[op](**{**sender, **fields})
        invariants.validate(self.plane.ledger)

    def pass_time(self) -> None:
        """Look at everything that may be due by now."""
        self.plane.apply(ev.Tick())
        self.plane.apply(ev.StallChecked(full=frozenset(self.plane.ledger.pools)))
        invariants.validate(self.plane.ledger)

    def end(self) -> None:
        """Everybody leaves."""
        for worker in WORKERS:
            self.plane.remove_worker(self.scheduler, worker)
        for client in CLIENTS:
            self.plane.remove_client(self.scheduler, client)
        invariants.validate(self.plane.ledger)


@contextmanager
def _stage() -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    try:
        yield Stage(loop)
    finally:
        loop.close()


# -- messages ----------------------------------------------------------------------------------

calls = st.sampled_from(["fc-1", "fc-2", "fc-3"])
pools = st.sampled_from(["ap-1/f", "ap-1/g", "ap-2/f", "ap-9/x", "/", ""])
codes = st.sampled_from(["code-1", "code-2", "code-1#method", "#method"])
declared = st.sampled_from(
    [
        FunctionSettings(),
        FunctionSettings(max_inputs=3, target_inputs=2, retries=RETRIES),
        FunctionSettings(batch=BATCH),
        FunctionSettings(single_use=True),
    ]
).map(FunctionSettings.to_dict)
outputs = st.tuples(
    numbers, st.sampled_from(["ok", "error", "cancelled"]), payloads, st.floats(0, 9)
)

#: What each message is like when nothing is wrong with it, and a little beyond that.
FROM_CALLERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    m.DEFINE: {
        "app": st.tuples(st.sampled_from(["ap-1", "ap-2"]), st.just("app")),
        "function": st.sampled_from(["f", "g"]),
        "settings": declared,
        "interface": st.just(Interface().to_dict()),
        "code": st.sampled_from(["code-1", "code-2"]),
        "blob": payloads,
    },
    m.PUT: {
        "call_id": calls,
        "pool_id": pools,
        "code": codes,
        "start": st.integers(0, 4),
        "payloads": st.lists(payloads, max_size=6),
        "kind": st.sampled_from(["live", "durable"]),
        "closed": st.booleans(),
        "patient": st.booleans(),
        "parent": st.none() | st.tuples(calls, st.integers(0, 3)),
    },
    m.CLOSE: {"call_id": calls},
    m.CANCEL: {"call_id": calls},
    m.TAKEN: {"call_id": calls, "index": numbers, "taken": numbers},
    m.WATCH: {
        "call_id": calls,
        "start": numbers,
        "stop": numbers,
        "by": st.none() | st.tuples(calls, numbers),
    },
    m.UNWATCH: {"call_id": calls, "by": st.tuples(calls, numbers)},
    m.ASK: {
        "ask_id": numbers,
        "verb": st.sampled_from(["call", "graph", "snapshot", "cancel", "settings", "none"]),
        "arguments": st.fixed_dictionaries({}, optional={"call_id": calls, "pool_id": pools}),
    },
}
FROM_CONTAINERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    m.HELLO: {
        "container_id": st.sampled_from(["box-1", "box-2", "box-9"]),
        "version": st.sampled_from([m.PROTOCOL, m.PROTOCOL, 0]),
        "pid": numbers,
        "host": st.just("here"),
    },
    m.PREPARED: {"failure": st.none() | payloads, "story": st.text(max_size=3)},
    m.OUTPUTS: {"outputs": st.lists(outputs, max_size=4)},
    m.YIELDS: {"items": st.lists(st.tuples(numbers, numbers, payloads), max_size=4)},
    m.OVERDUE: {"leases": leases},
    m.STUCK: {},
    m.SLOTS: {"slots": st.integers(1, 4)},
    m.LEAVE: {},
    m.RETURNED: {"leases": leases},
    m.PRINTED: {
        "lines": st.lists(
            st.tuples(st.none() | calls, st.just("stdout"), st.text(max_size=3)), max_size=3
        )
    },
    m.DEVICES: {
        "host": st.just("here"),
        "devices": st.just([]),
        "error": st.none() | st.text(max_size=3),
    },
    m.FATE: {"story": st.text(max_size=3), "over_limit": st.booleans()},
    m.USAGE: {"is_new": st.booleans(), "cpu": st.floats(0, 4), "memory": numbers},
}


def _steps(known: dict[str, Any], kind: str, names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(sorted(known)).flatmap(
        lambda op: st.tuples(
            st.just(op), fields_of(known[op]), st.sampled_from(names).map(lambda name: {kind: name})
        )
    )


steps = st.lists(
    _steps(FROM_CALLERS, "client", CLIENTS)
    | _steps(FROM_CALLERS, "worker", WORKERS)
    | _steps(FROM_CONTAINERS, "worker", WORKERS)
    | st.just(None),
    max_size=30,
)


def _begin(stage: Stage) -> None:
    """A function with a container that has inputs, so that what follows can hit something."""
    define = {
        "app": ("ap-1", "app"),
        "function": "f",
        "settings": FunctionSettings(max_inputs=2, target_inputs=2).to_dict(),
        "interface": Interface().to_dict(),
        "code": "code-1",
        "blob": b"",
    }
    stage.hear(m.DEFINE, define, client=CLIENTS[0])
    stage.plane.apply(ev.ContainerExpected(container_id="box-1", pool_id="ap-1/f"))
    hello = {"container_id": "box-1", "version": m.PROTOCOL}
    stage.hear(m.HELLO, hello, worker=WORKERS[0])
    put = {"call_id": "fc-1", "pool_id": "ap-1/f", "start": 0, "payloads": [b"1", b"2", b"3"]}
    stage.hear(m.PUT, put, client=CLIENTS[0])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_no_message_breaks_the_ledger_or_escapes(steps: list[Any]) -> None:
    note(repr(steps))
    with _stage() as stage:
        _begin(stage)
        for step in steps:
            if step is None:
                stage.pass_time()
            else:
                op, fields, sender = step
                stage.hear(op, fields, **sender)
        stage.end()
        ledger = stage.plane.ledger
        assert [call for call in ledger.calls.values() if call.kind == "live"] == []
        assert not [what for what in ledger.agenda.matters() if what[0] == "cling"]
