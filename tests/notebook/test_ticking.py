"""The ticker: wakes at once, slows down when nothing happens, and keeps nothing alive."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

from modalnb.notebook.ticking import FASTEST, SLOWEST, Pace, Ticker


class Counter:
    """Counts its ticks; says when it was called."""

    def __init__(self, *answers: float | None) -> None:
        self.answers = list(answers)
        self.count = 0
        self.called = threading.Semaphore(0)
        self.thread: threading.Thread | None = None
        self.ticker = Ticker(self.tick)

    def tick(self) -> float | None:
        self.count += 1
        self.thread = threading.current_thread()
        answer = self.answers.pop(0) if self.answers else None
        self.called.release()
        if answer == -1:
            raise RuntimeError("nobody must see this")
        return answer

    def wait(self) -> None:
        assert self.called.acquire(timeout=10)


def test_pace_is_fast_after_news_and_slow_without() -> None:
    pace = Pace()
    pauses = [pace.follow(is_news=False) for _ in range(20)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == SLOWEST
    assert pace.follow(is_news=True) == FASTEST


def test_wake_calls_at_once_whatever_the_pause() -> None:
    counter = Counter(3600, 3600, None)
    for _ in range(3):
        counter.ticker.wake()
        counter.wait()
    assert counter.count == 3


def test_thread_ends_with_none_and_wake_starts_another(wait_until: Callable[..., None]) -> None:
    counter = Counter(None, None)
    counter.ticker.wake()
    counter.wait()
    first = counter.thread
    wait_until(lambda: not counter.ticker.is_alive)
    counter.ticker.wake()
    counter.wait()
    assert counter.thread is not first
    assert counter.thread is not None
    assert counter.thread.daemon
    wait_until(lambda: not counter.ticker.is_alive)


def test_wake_during_the_last_tick_is_not_lost(wait_until: Callable[..., None]) -> None:
    """Whoever wakes a thread that is about to end gets a tick all the same."""
    counter = Counter(*[None] * 300)
    for n in range(300):
        counter.ticker.wake()
        counter.wait()
        assert counter.count == n + 1
    wait_until(lambda: not counter.ticker.is_alive)


def test_error_in_a_tick_is_neither_printed_nor_the_end() -> None:
    counter = Counter(-1, 3600, None)
    counter.ticker.wake()
    counter.wait()
    counter.ticker.wake()
    counter.wait()
    assert counter.count >= 2
    counter.ticker.wake()


def test_ticker_ends_when_its_owner_is_gone() -> None:
    counter = Counter(0.01, *[0.01] * 100_000)
    counter.ticker.wake()
    counter.wait()
    thread, reference = counter.thread, weakref.ref(counter)
    assert thread is not None
    del counter
    thread.join(10)
    gc.collect()
    assert not thread.is_alive()
    assert reference() is None
