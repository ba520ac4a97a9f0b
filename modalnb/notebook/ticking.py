"""A daemon thread that looks again and again, at a pace that follows what there is to see."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable

logger = logging.getLogger(__name__)

FASTEST = 0.25
SLOWEST = 1.0
#: Each look without news makes the pause so much longer.
SLOWER = 1.3

#: Set when the process is about to end, before its engine is.
_is_ending = threading.Event()
atexit.register(_is_ending.set)


def is_process_ending() -> bool:
    """Whether the engine goes because the process does: pages are left as they are."""
    return _is_ending.is_set()


class Pace:
    """Seconds from one look to the next: short after news, longer while nothing happens."""

    def __init__(self) -> None:
        self.seconds = FASTEST

    def follow(self, *, is_news: bool) -> float:
        """The pause after a look."""
        self.seconds = FASTEST if is_news else min(SLOWEST, self.seconds * SLOWER)
        return self.seconds


class Ticker:
    """Calls a method until it returns None or its owner is gone; keeps neither alive.

    The method returns the seconds until its next call.
    """

    def __init__(self, method: Callable[[], float | None]) -> None:
        self._method = weakref.WeakMethod(method)
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Call the method now, from its thread, which is started if need be."""
        with self._lock:
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_run, args=(self, self._method), name="modalnb-dashboard", daemon=True
                )
                self._thread.start()

    def pause(self, seconds: float) -> None:
        """Wait until it is time, or somebody wakes the ticker."""
        self._wake.wait(seconds)
        self._wake.clear()

    def end(self) -> bool:
        """The thread is about to end; False if it was woken in the meantime."""
        with self._lock:
            if self._wake.is_set():
                return False
            self._thread = None
            return True


def _run(ticker: Ticker, reference: weakref.WeakMethod[Callable[[], float | None]]) -> None:
    while True:
        ticker.pause(0)
        method = reference()
        if method is None or is_process_ending():
            return
        try:
            seconds = method()
        except Exception:
            # A thread must not print into whatever cell runs, and a view must not end its app.
            logger.debug("modalnb: a look at an app failed", exc_info=True)
            seconds = SLOWEST
        del method
        if seconds is not None:
            ticker.pause(seconds)
        elif ticker.end():
            return
