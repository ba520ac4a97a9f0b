"""Wrong messages over the real streams: callers and containers stay connected, calls go on."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modalnb
from modalnb import messages as m
from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.runtime import context
from tests.wrong_fields import junk

#: Of a container only what says nothing of its end: the one that sends has to answer.
FROM_CONTAINERS = (m.HELLO, m.OUTPUTS, m.YIELDS, m.OVERDUE, m.SLOTS, m.RETURNED, m.PRINTED, m.USAGE)
FROM_CALLERS = (m.DEFINE, m.PUT, m.CLOSE, m.CANCEL, m.TAKEN, m.WATCH, m.ASK)
NAMES = (
    "app", "arguments", "ask_id", "call_id", "code", "container_id", "function", "index",
    "interface", "items", "leases", "lines", "outputs", "payloads", "pool_id", "settings",
    "slots", "start", "stop", "taken", "verb", "version",
)  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(NAMES), junk, max_size=5)

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _messages(ops: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, dict[str, Any]]]]:
    return st.lists(st.tuples(st.sampled_from(ops), FIELDS), min_size=1, max_size=8)


@pytest.fixture
def echo(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=1)
    def echo(wrong: list[tuple[str, dict[str, Any]]]) -> int:
        """Send these on the stream of this container."""
        line = context.process_home.line
        for op, fields in wrong:
            line.loop.call_soon_threadsafe(line.send, {**fields, "op": op})
        return os.getpid()

    return echo


@quick
@given(wrong=_messages(FROM_CALLERS))
def test_caller_that_sends_wrong_messages_stays_connected(
    echo: modalnb.Function, wrong: list[tuple[str, dict[str, Any]]]
) -> None:
    stub = current.stub()
    for op, fields in wrong:
        stub.send(op, **fields)
    assert echo.remote([]) > 0
    ask(stub, "validate")
    assert current.stub() is stub


@quick
@given(wrong=_messages(FROM_CONTAINERS))
def test_container_that_sends_wrong_messages_stays_connected(
    echo: modalnb.Function, wrong: list[tuple[str, dict[str, Any]]]
) -> None:
    container = echo.remote(wrong)
    assert echo.remote([]) == container
    ask(current.stub(), "validate")


def test_caller_of_a_put_that_is_wrong_is_told(echo: modalnb.Function) -> None:
    """Nobody waits for the outcome of a message that was thrown away."""
    call = echo.spawn([])
    pool_id = ask(current.stub(), "call", call_id=call.object_id)["pool_id"]
    heard = _Heard()
    current.stub().open("fc-wrong", heard)
    current.stub().send(m.PUT, call_id="fc-wrong", pool_id=pool_id, start=-1, payloads=[b""])
    assert echo.remote([]) > 0
    assert heard.error is not None
    assert "`start` cannot be -1" in str(heard.error)
    current.stub().close("fc-wrong")


class _Heard:
    """The inbox of a call; it keeps the error."""

    error: Exception | None = None

    def on_outputs(self, outputs: list[tuple[int, str, Any]]) -> None:
        raise AssertionError(outputs)

    def on_accepted(self) -> None:
        raise AssertionError

    def on_refused(self, start: int, limit: str, current: int, maximum: int) -> None:
        raise AssertionError

    def on_failed(self, error: Exception) -> None:
        self.error = error

    def on_printed(self, lines: list[tuple[str, str, str]]) -> None:
        raise AssertionError(lines)
