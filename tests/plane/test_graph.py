from __future__ import annotations

from typing import Any

import pytest

from modalnb.plane import graph
from modalnb.plane.graph import CallGraph


def _job(call_id: str, index: int) -> tuple[Any, ...]:
    return (0, call_id, index, "code", b"")


def test_inputs_have_the_calls_that_they_made() -> None:
    calls = CallGraph()
    calls.open("fc-1", "a/f", "mod", None)
    calls.begin("ta-1", [_job("fc-1", 0), _job("fc-1", 1)])
    calls.open("fc-2", "a/g", "mod", ("fc-1", 1))
    calls.begin("ta-2", [_job("fc-2", 0)])
    calls.finish([("fc-2", 0, "ok", b""), ("fc-1", 1, "error", b"")])
    first, second = calls.describe("fc-1", 2) or []
    assert (first["status"], first["container_id"], first["children"]) == ("pending", "ta-1", [])
    assert (second["status"], second["function"]) == ("error", "f")
    assert [(c["function"], c["status"]) for c in second["children"]] == [("g", "ok")]


def test_a_call_of_many_inputs_that_have_not_begun_lists_them_as_pending() -> None:
    calls = CallGraph()
    calls.open("fc-1", "a/f", "mod", None)
    assert [one["status"] for one in calls.describe("fc-1", 3) or []] == ["pending"] * 3


def test_the_oldest_calls_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MAX_CALLS", 3)
    monkeypatch.setattr(graph, "MAX_TOTAL", 10)
    calls = CallGraph()
    for n in range(4):
        calls.open(f"fc-{n}", "a/f", "mod", None)
    assert calls.describe("fc-0", 1) is None
    calls.begin("ta", [_job("fc-1", n) for n in range(11)])
    calls.open("fc-4", "a/f", "mod", None)
    assert calls.describe("fc-1", 1) is None
    assert calls.describe("fc-3", 1) is not None


def test_what_is_not_remembered_is_no_error() -> None:
    calls = CallGraph()
    calls.begin("ta", [_job("fc-9", 0)])
    calls.finish([("fc-9", 0, "ok", b"")])
    assert calls.describe("fc-9", 1) is None
