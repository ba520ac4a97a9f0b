"""Threads that user code starts, and what it gives to pools of threads, belong to its input.

Tasks inherit the input from whoever makes them; threads begin without it before Python 3.14, where
they inherit all of the context.  Without it nobody could say for whom a thread prints, which input
waits for the calls that it makes, or what ``current_input_id`` is.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from modalnb.runtime import context


def take_over() -> None:
    """Let the threads of this process inherit the input of whoever starts them."""
    if not hasattr(threading.Thread.start, "__wrapped__"):
        threading.Thread.start = _starting(  # type: ignore[assignment, method-assign]
            threading.Thread.start
        )
        ThreadPoolExecutor.submit = _submitting(  # type: ignore[method-assign]
            ThreadPoolExecutor.submit
        )


def _starting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def start_for_input(thread: threading.Thread) -> None:
        if context.current.get() is not None:
            thread.run = _for_input(thread.run)  # type: ignore[method-assign]
        start(thread)

    return start_for_input


def _submitting(submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(submit)
    def submit_for_input(
        pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        # A thread of a pool was started for whoever came first, and works for others later.
        return submit(pool, _for_input(function), *args, **kwargs)

    return submit_for_input


def _for_input(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, running for the input that runs now, or for none."""
    current = context.current.get()

    def run(*args: Any, **kwargs: Any) -> Any:
        token = context.current.set(current)
        try:
            return function(*args, **kwargs)
        finally:
            context.current.reset(token)

    return run
