"""One spawn_map under way: hands in all inputs, waiting where the limits ask for it."""

from __future__ import annotations

import threading
from typing import Any

from modalnb import messages as m
from modalnb.api.feeding import Feeder
from modalnb.api.waiting import FIRST_DELAY
from modalnb.payload.shared_memory import Depot
from modalnb.plane.stub import Stub

MAX_DELAY = 30.0
#: Messages that are on the way at most.
MAX_UNACCEPTED = 4


class SpawnRun:
    """Sends inputs in batches; a refused batch is sent again, growing delays apart."""

    def __init__(self, stub: Stub, *, call_id: str, function: str, put: dict[str, Any]) -> None:
        self.call_id = call_id
        self._stub = stub
        self._put = put
        self._changed = threading.Condition()
        self._batch: list[Any] = []
        self._start = 0
        self._batches: dict[int, list[Any]] = {}
        self._error: BaseException | None = None
        #: The first input that was refused, and how far it had been the time before.
        self._refused_at: int | None = None
        self._reached = 0
        self._delay = FIRST_DELAY

    @property
    def depot(self) -> Depot | None:
        """Where large arguments go."""
        return self._stub.depot

    def hand_in(self, feeder: Feeder) -> None:
        """Read all inputs and return when every one is accepted."""
        self._stub.open(self.call_id, self)
        try:
            feeder.feed()
            if self._error is None:
                self._wait(0)
                self._stub.send(m.CLOSE, call_id=self.call_id)
        except BaseException as error:
            self._error = error
        finally:
            self._stub.close(self.call_id)
        if self._error is not None:
            self._stub.send(m.CANCEL, call_id=self.call_id)
            raise self._error

    # -- from the feeder, on the caller's thread -----------------------------------------------

    def wait_room(self) -> bool:
        """Block while too many messages are not accepted."""
        if len(self._batch) >= m.MAX_BATCH:
            self._send()
            self._wait(MAX_UNACCEPTED)
        return self._error is None

    def add(self, payload: Any) -> None:
        """Take one input."""
        self._batch.append(payload)

    def finish(self, error: BaseException | None) -> None:
        """There are no more inputs, or the iterator raised."""
        if error is not None:
            self._error = error
        elif self._batch or not self._start:
            self._send()

    def _send(self) -> None:
        self._batches[self._start] = self._batch
        self._post(self._start)
        self._start += len(self._batch)
        self._batch = []

    def _post(self, start: int) -> None:
        self._stub.send(
            m.PUT,
            call_id=self.call_id,
            start=start,
            payloads=self._batches[start],
            kind="durable",
            closed=False,
            patient=True,
            **self._put,
        )

    def _wait(self, most: int) -> None:
        """Wait until at most `most` messages are not accepted, sending refused ones again."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        len(self._batches) <= most
                        or self._error is not None
                        or self._refused_at is not None
                    )
                )
                if self._refused_at is None or self._error is not None:
                    return
                if self._refused_at > self._reached:
                    self._delay = FIRST_DELAY
                self._reached = self._refused_at
                self._changed.wait_for(lambda: self._error is not None, self._delay)
                self._delay = min(MAX_DELAY, self._delay * 2)
                self._refused_at = None
                again = sorted(self._batches)
            for start in again:
                self._post(start)

    # -- on the loop -----------------------------------------------------------------------

    def on_accepted(self) -> None:
        """The oldest batch was accepted as a whole."""
        with self._changed:
            if self._batches:
                del self._batches[min(self._batches)]
            self._delay = FIRST_DELAY
            self._changed.notify_all()

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        """Inputs from `start` on have to be sent again."""
        with self._changed:
            if self._refused_at is None:
                self._refused_at = start
            self._changed.notify_all()

    def on_failed(self, error: Exception) -> None:
        """The call cannot be carried out."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        """Outputs are kept by the plane."""

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        """Lines are shown by whoever waits for results."""
