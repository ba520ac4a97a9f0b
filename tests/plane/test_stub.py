"""The stub: nobody is left waiting when the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from modalnb.api.waiting import Ticket
from modalnb.exception import ConnectionError, ExecutionError
from modalnb.plane.stub import Stub


class Line:
    """A line whose other end does not answer."""

    is_thread_safe = True

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def send(self, message: dict[str, object]) -> None:
        """Nobody hears it."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    line = Line()
    yield Stub(line, None)
    line.loop.close()


def test_open_calls_fail_when_the_connection_is_lost(stub: Stub) -> None:
    ticket = Ticket("square", None)
    stub.open("fc-1", ticket)
    stub.fail_all(ConnectionError("lost"))
    with pytest.raises(ConnectionError, match="lost"):
        ticket.wait(1)


def test_open_fails_when_the_connection_is_lost_already(stub: Stub) -> None:
    stub.fail_all(ConnectionError("lost"))
    with pytest.raises(ExecutionError, match=r"The engine has ended\. The next call starts"):
        stub.open("fc-1", Ticket("square", None))
