"""The callers' end of the plane: puts inputs, hands out what comes back, asks questions.

The same stub serves a notebook, over a Dask client, and user code in a container, over the
container's own connection; only the :class:`Line` differs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from modalnb import messages as m
from modalnb.exception import ExecutionError
from modalnb.payload import envelope
from modalnb.payload.shared_memory import Depot


class Line(Protocol):
    """A connection to the plane, driven by one event loop."""

    loop: asyncio.AbstractEventLoop

    def send(self, message: dict[str, Any]) -> None:
        """Send on the stream; only from the loop."""


class Inbox(Protocol):
    """Whoever gets the replies to one call; its methods run on the loop and must not block."""

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        """(index, status, payload) tuples have arrived."""

    def on_accepted(self) -> None:
        """All inputs of the last put were admitted."""

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """Inputs from `start` on were not admitted."""

    def on_failed(self, error: Exception) -> None:
        """The call cannot be carried out."""

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        """(container id, stream, text) tuples were printed on behalf of the call."""


#: Takes (index, number of the element, payload) tuples of a streamed output.
OnYields = Callable[[list[tuple[int, int, Any]]], None]


class Stub:
    """One process's access to the plane; all methods may be called from any thread."""

    def __init__(self, line: Line, depot: Depot | None) -> None:
        self.line = line
        self.depot = depot
        self.is_closed = False
        self._inboxes: dict[str, Inbox] = {}
        self._streams: dict[str, OnYields] = {}
        self._outgoing: deque[dict[str, Any]] = deque()
        self._lock = threading.Lock()
        self._is_flushing = False
        self._questions: dict[int, concurrent.futures.Future[Any]] = {}
        self._ask_ids = itertools.count()
        #: What to do with lines of calls that nobody waits for.
        self.print_orphans: Callable[[list[tuple[str, str, str]]], None] = lambda lines: None

    # -- sending ---------------------------------------------------------------------------

    def send(self, op: str, **fields: Any) -> None:
        """Send one message; messages of one thread keep their order."""
        if self.is_closed:
            raise ExecutionError("The engine has ended. The next call starts a new one.")
        self._outgoing.append({"op": op, **fields})
        with self._lock:
            if self._is_flushing:
                return
            self._is_flushing = True
        self.line.loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            self._is_flushing = False
        while self._outgoing:
            self.line.send(self._outgoing.popleft())

    def open(self, call_id: str, inbox: Inbox, on_yields: OnYields | None = None) -> None:
        """From now on, replies to this call go to `inbox`, streamed elements to `on_yields`."""
        self._inboxes[call_id] = inbox
        if on_yields is not None:
            self._streams[call_id] = on_yields
        # Whoever opens while the connection is lost must be told too, here or by `fail_all`.
        if self.is_closed and self._inboxes.pop(call_id, None) is not None:
            raise ExecutionError("The engine has ended. The next call starts a new one.")

    def close(self, call_id: str) -> None:
        """Replies to this call are not wanted any more."""
        self._inboxes.pop(call_id, None)
        self._streams.pop(call_id, None)

    def ask(self, verb: str, **arguments: Any) -> concurrent.futures.Future[Any]:
        """Ask the plane; the future gives the answer or raises the plane's error."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        ask_id = next(self._ask_ids)
        self._questions[ask_id] = future
        try:
            self.send(m.ASK, ask_id=ask_id, verb=verb, arguments=arguments)
        except Exception:
            del self._questions[ask_id]
            raise
        return future

    def _on_answer(self, ask_id: int, answer: Any) -> None:
        future = self._questions.pop(ask_id, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        try:
            m.raise_error(answer)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(answer)

    # -- receiving -------------------------------------------------------------------------

    def on_reply(self, kind: str, **fields: Any) -> None:
        """Take in one message of the plane; runs on the loop."""
        if kind in ("outputs", "kept"):
            self._on_outputs(fields["outputs"], is_kept=kind == "kept")
        elif kind == "yields":
            self._on_yields(fields["elements"])
        elif kind == "answer":
            self._on_answer(**fields)
        elif kind == "printed":
            self._on_printed(fields["lines"])
        else:
            inbox = self._inboxes.get(fields.pop("call_id"))
            if inbox is None:
                return
            if kind == "accepted":
                inbox.on_accepted()
            elif kind == "refused":
                inbox.on_refused(**fields)
            elif kind == "failed":
                inbox.on_failed(_error_of(fields))

    def _on_outputs(self, outputs: Iterable[tuple[str, int, str, Any]], *, is_kept: bool) -> None:
        by_call: dict[str, list[tuple[int, str, Any]]] = {}
        for call_id, index, status, payload in outputs:
            by_call.setdefault(call_id, []).append((index, status, payload))
        for call_id, group in by_call.items():
            inbox = self._inboxes.get(call_id)
            if inbox is not None:
                inbox.on_outputs(group)
            elif not is_kept:
                for _, _, payload in group:
                    envelope.discard(payload, self.depot)

    def _on_yields(self, elements: Iterable[tuple[str, int, int, Any]]) -> None:
        by_call: dict[str, list[tuple[int, int, Any]]] = {}
        for call_id, index, number, payload in elements:
            by_call.setdefault(call_id, []).append((index, number, payload))
        for call_id, group in by_call.items():
            on_yields = self._streams.get(call_id)
            if on_yields is not None:
                on_yields(group)
                continue
            for _, _, payload in group:
                envelope.discard(payload, self.depot)

    def _on_printed(self, lines: Iterable[tuple[str, str, str, str]]) -> None:
        by_call: dict[str, list[tuple[str, str, str]]] = {}
        for call_id, container_id, stream, text in lines:
            by_call.setdefault(call_id, []).append((container_id, stream, text))
        for call_id, group in by_call.items():
            inbox = self._inboxes.get(call_id)
            (inbox.on_printed if inbox else self.print_orphans)(group)

    def fail_all(self, error: Exception) -> None:
        """The connection is gone: every open call fails; runs on the loop."""
        self.is_closed = True
        inboxes, self._inboxes = list(self._inboxes.values()), {}
        questions, self._questions = list(self._questions.values()), {}
        for inbox in inboxes:
            inbox.on_failed(error)
        for question in questions:
            if question.set_running_or_notify_cancel():
                question.set_exception(error)


def _error_of(fields: dict[str, Any]) -> Exception:
    try:
        m.raise_error(fields)
    except Exception as error:
        return error
    return ExecutionError(str(fields))
