"""Outputs of spawned calls are kept for their time and told to those who wait."""

from __future__ import annotations

from modalnb.exception import NotFoundError, OutputExpiredError
from modalnb.plane.keeper import MAX_EXPIRED, Keeper


def test_watch_gives_what_is_there_and_then_what_comes() -> None:
    keeper = Keeper(keep_seconds=10)
    keeper.open("fc-1", "ap/f", "c:me")
    assert keeper.keep(("fc-1", 0, "ok", b"a")) == []
    assert keeper.watch("c:you", "fc-1", 0, 2) == [("fc-1", 0, "ok", b"a")]
    assert keeper.keep(("fc-1", 1, "ok", b"b")) == ["c:you"]


def test_input_that_will_never_be_is_told_once_the_call_is_complete() -> None:
    keeper = Keeper(keep_seconds=10)
    call = keeper.open("fc-1", "ap/f", "c:me")
    call.admitted = 2
    assert keeper.watch("c:you", "fc-1", 5, 6) == []
    assert call.output(5) is None
    call.is_complete = True
    assert keeper.watch("c:you", "fc-1", 5, 6) == [("fc-1", 5, "beyond", (5, 2))]
    assert call.output(5) == ("beyond", (5, 2))
    assert call.output(1) is None


def test_same_watch_twice_is_told_once() -> None:
    keeper = Keeper(keep_seconds=10)
    keeper.open("fc-1", "ap/f", "c:me")
    for _ in range(3):
        keeper.watch("c:you", "fc-1", 0, 1)
    assert keeper.keep(("fc-1", 0, "ok", b"a")) == ["c:you"]


def test_unknown_call_is_none() -> None:
    assert Keeper(keep_seconds=10).watch("c:you", "fc-1", 0, 1) is None


def test_caller_that_left_waits_for_nothing() -> None:
    keeper = Keeper(keep_seconds=10)
    keeper.open("fc-1", "ap/f", "c:me")
    keeper.watch("c:you", "fc-1", 0, 1)
    keeper.forget_caller("c:you")
    assert keeper.keep(("fc-1", 0, "ok", b"a")) == []


def test_finished_calls_expire_and_give_back_their_payloads() -> None:
    keeper = Keeper(keep_seconds=10)
    for call_id in ("fc-1", "fc-2"):
        keeper.open(call_id, "ap/f", "c:me")
        keeper.keep((call_id, 0, "ok", call_id.encode()))
    keeper.end("fc-1", now=100)
    assert keeper.expire(now=105) == []
    assert keeper.expire(now=111) == [b"fc-1"]
    assert list(keeper.calls) == ["fc-2"]
    assert isinstance(keeper.missing("fc-1"), OutputExpiredError)
    assert "fc-1 were kept for" in str(keeper.missing("fc-1"))
    assert isinstance(keeper.missing("fc-3"), NotFoundError)


def test_calls_that_have_expired_are_remembered_within_bounds() -> None:
    keeper = Keeper(keep_seconds=10)
    for n in range(MAX_EXPIRED + 1):
        keeper.open(f"fc-{n}", "ap/f", "c:me")
        keeper.end(f"fc-{n}", now=0)
    assert keeper.expire(now=11) == []
    assert isinstance(keeper.missing("fc-0"), NotFoundError)
    assert isinstance(keeper.missing(f"fc-{MAX_EXPIRED}"), OutputExpiredError)
