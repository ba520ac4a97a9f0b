"""A container by itself: inputs in, outputs out, in the order in which they came."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modalnb import messages as m
from modalnb.payload import code, envelope
from modalnb.runtime.container import Container
from modalnb.runtime.printing import Printer


class Bench:
    """A container on a loop and a thread of its own, and what it has sent."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.sent: list[dict[str, Any]] = []
        self._loop_thread = threading.Thread(target=self.loop.run_forever)
        self._loop_thread.start()
        home = SimpleNamespace(
            depot=None, is_guest=False, printer=Printer(lambda lines: None, self.loop)
        )
        self.container = Container(self.sent.append, self.loop, home)
        self.user_thread = threading.Thread(target=self.container.run_forever)
        self.user_thread.start()

    def on_loop(self, step: Callable[..., None], *args: Any) -> None:
        async def call() -> None:
            step(*args)

        asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def run(self, function: Callable[..., Any], *values: Any) -> None:
        definition = code.define(function, "f")
        self.on_loop(self.container.on_code, definition.code, definition.blob)
        jobs = [
            (lease, "fc-1", lease, definition.code, envelope.pack(((value,), {}), None))
            for lease, value in enumerate(values)
        ]
        self.on_loop(self.container.on_run, jobs)

    def outputs(self) -> list[tuple[int, str]]:
        batches = [message["outputs"] for message in list(self.sent) if message["op"] == m.OUTPUTS]
        return [(lease, status) for batch in batches for lease, status, *_ in batch]

    def close(self) -> None:
        self.container.close()
        self.user_thread.join(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._loop_thread.join(10)
        self.loop.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_outputs_come_in_the_order_of_the_inputs(bench: Bench, wait_until: Any) -> None:
    bench.run(lambda x: x, *range(50))
    wait_until(lambda: len(bench.outputs()) == 50)
    assert bench.outputs() == [(n, "ok") for n in range(50)]


def test_outcome_is_told_after_the_users_code_has_been_left(
    bench: Bench, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hears of it may end the process, and only user code is interrupted for that."""
    seen: list[bool] = []
    tell = bench.loop.call_soon_threadsafe

    def watch(step: Any, *args: Any, **options: Any) -> Any:
        if threading.current_thread() is bench.user_thread:
            seen.append(bench.container.is_in_user_code)
        return tell(step, *args, **options)

    monkeypatch.setattr(bench.loop, "call_soon_threadsafe", watch)
    bench.run(lambda x: x, 1)
    wait_until(lambda: bench.outputs() == [(0, "ok")])
    assert seen
    assert not seen[-1]


def _wait_at_gate(folder: str) -> None:
    (Path(folder) / "started").touch()
    while not (Path(folder) / "gate").exists():
        threading.Event().wait(0.01)


def test_recall_gives_back_what_has_not_started(
    bench: Bench, wait_until: Any, tmp_path: Path
) -> None:
    bench.run(_wait_at_gate, *[str(tmp_path)] * 5)
    wait_until((tmp_path / "started").exists)
    bench.on_loop(bench.container.on_recall, range(5))
    (tmp_path / "gate").touch()
    returned = [message["leases"] for message in bench.sent if message["op"] == m.RETURNED]
    assert returned == [[1, 2, 3, 4]]
    wait_until(lambda: bench.outputs() == [(0, "ok")])


def test_stop_answers_for_every_lease(bench: Bench, wait_until: Any, tmp_path: Path) -> None:
    bench.run(_wait_at_gate, *[str(tmp_path)] * 3)
    wait_until((tmp_path / "started").exists)
    bench.on_loop(bench.container.on_stop, [1, 2])
    (tmp_path / "gate").touch()
    wait_until(lambda: len(bench.outputs()) == 3)
    assert sorted(bench.outputs()) == [(0, "ok"), (1, "cancelled"), (2, "cancelled")]


def test_broken_code_fails_its_inputs_only(bench: Bench, wait_until: Any) -> None:
    bench.on_loop(bench.container.on_code, "bad", b"no pickle")
    bench.on_loop(bench.container.on_run, [(100, "fc-1", 0, "bad", b"")])
    bench.run(lambda x: x, 1)
    wait_until(lambda: len(bench.outputs()) == 2)
    assert bench.outputs() == [(100, "error"), (0, "ok")]
