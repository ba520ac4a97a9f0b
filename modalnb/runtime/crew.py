"""Runs the user's code: one input after the other on the main thread, or many at once.

One input at a time, a plain function runs on the thread that calls :meth:`Crew.run_forever`, which
is the main thread wherever the process is ours.  As soon as a coroutine is to run, that thread
runs the event loop of the user's code and keeps it running between inputs.  With several slots it
always does: coroutines are tasks of that loop, and plain functions run on threads beside it.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modalnb.exception import InputCancellation
from modalnb.runtime.invoke import Callee, outcome_of
from modalnb.runtime.loading import Loader
from modalnb.runtime.work import Run, Work, first_of, jobs_of

CANCEL_SIGNAL = signal.SIGUSR1
MAX_THREADS = 1_000

#: Something to do on the home thread between inputs.
Errand = Callable[[], None]


class Crew:
    """The threads and the event loop that run the user's code in one container."""

    def __init__(self, container: Any, loader: Loader) -> None:
        self._container = container
        self._loader = loader
        self.slots = 1
        #: One entry for each work that was ever here, errands, and None to look again.
        self._tokens: queue.SimpleQueue[int | Errand | None] = queue.SimpleQueue()
        self._is_closed = False
        #: What is done next.
        self._work: Work | Errand | None = None
        self._home_thread: int | None = None
        self._is_main_thread = False
        #: The run of the home thread while it is in the user's code.
        self._current: Run | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Future[Any]] = set()
        self._wake_up: Callable[[], None] | None = None

    # -- from other threads ----------------------------------------------------------------

    def put(self, token: int | Errand | None) -> None:
        """There is work under this number, or an errand for the home thread."""
        self._tokens.put(token)
        wake_up = self._wake_up
        if wake_up is not None:
            wake_up()

    def close(self) -> None:
        """Let :meth:`run_forever` return after what it works on; also from signal handlers."""
        self._is_closed = True
        self.put(None)

    def stop(self, run: Run) -> bool:
        """Make user code stop; False if only the end of the process can."""
        run.is_stopped = True
        if run.task is not None:
            self._loader.loop.call_soon_threadsafe(run.task.cancel)
            return True
        if run.thread is None:
            return True
        if run.thread == self._home_thread and self._is_main_thread:
            signal.pthread_kill(run.thread, CANCEL_SIGNAL)
            return True
        if run.thread == self._home_thread or not self._is_main_thread:
            run.was_raised = True
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(run.thread), ctypes.py_object(InputCancellation)
            )
            return run.thread == self._home_thread
        return False

    def _on_signal(self, *_: Any) -> None:
        run = self._current
        if run is not None and run.is_stopped and not run.is_over and not run.was_raised:
            run.was_raised = True
            raise InputCancellation

    @property
    def is_in_user_code(self) -> bool:
        """Whether the home thread executes an input at this moment."""
        run = self._current
        return run is not None and not run.is_over

    # -- the home thread, one input at a time ----------------------------------------------

    def run_forever(self) -> None:
        """Work until :meth:`close`."""
        self._home_thread = threading.get_ident()
        self._is_main_thread = threading.current_thread() is threading.main_thread()
        if self._is_main_thread:
            signal.signal(CANCEL_SIGNAL, self._on_signal)
        while not self._is_closed:
            work = self._work or self._next(self._tokens.get())
            self._work = None
            if work is None:
                continue
            if callable(work):
                work()
                continue
            callee = self._callee(work)
            if callee is None:
                continue
            if self.slots > 1 or callee.is_async:
                self._work = work
                self._loader.run_async(self._serve())
            else:
                self._execute_here(work, callee)

    def _next(self, token: int | Errand | None) -> Work | Errand | None:
        if token is None or callable(token):
            return token
        return self._container.take(token)  # type: ignore[no-any-return]

    def _callee(self, work: Work) -> Callee | None:
        """What runs this work; None after reporting why there is nothing."""
        try:
            return self._loader.callee(first_of(work)[3])
        except BaseException as error:
            self._container.report(work, [outcome_of(error)] * len(jobs_of(work)), 0.0)
            return None

    def _execute_here(self, work: Work, callee: Callee) -> None:
        run = Run(work)
        run.thread = self._home_thread
        try:
            try:
                self._current = run
                self._container.execute(run, work, callee)
            finally:
                self._current = None
        except InputCancellation:
            # It came between the end of the user's code and here.
            self._current = None
            self._container.finish_cancelled(run, work)

    # -- the home thread, under the event loop ---------------------------------------------

    async def _serve(self) -> None:
        """Work on many inputs at once, until one needs the home thread for itself."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake_up() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._wake_up = wake_up
        try:
            while not self._is_closed:
                changed.clear()
                if not self._start_some(changed):
                    await changed.wait()
                elif self._work is not None and not self._tasks:
                    return
        finally:
            self._wake_up = None

    def _start_some(self, changed: asyncio.Event) -> bool:
        """Start what is there while slots are free; whether the home thread is asked for."""
        while len(self._tasks) < self.slots:
            if self._work is None:
                try:
                    self._work = self._next(self._tokens.get_nowait())
                except queue.Empty:
                    return False
                if self._work is None:
                    continue
            if callable(self._work):
                return self._needs_home()
            if self._loader.must_start(first_of(self._work)[3]):
                return self._needs_home()
            callee = self._callee(self._work)
            if callee is None:
                self._work = None
                continue
            if not callee.is_async and self.slots == 1:
                return self._needs_home()
            work, self._work = self._work, None
            self._start(work, callee, changed)
        return False

    def _needs_home(self) -> bool:
        """The next work waits until the loop has nothing to do."""
        return not self._tasks

    def _start(self, work: Work, callee: Callee, changed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any]
        if callee.is_async:
            run = Run(work)
            future = run.task = loop.create_task(self._container.execute_async(run, work, callee))
        else:
            context = contextvars.copy_context()
            future = loop.run_in_executor(
                self._pool(), context.run, self._execute_on_thread, work, callee
            )
        self._tasks.add(future)

        def done(ended: asyncio.Future[Any]) -> None:
            self._tasks.discard(ended)
            changed.set()

        future.add_done_callback(done)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="modalnb-input")
        return self._threads

    def _execute_on_thread(self, work: Work, callee: Callee) -> None:
        run = Run(work)
        run.thread = threading.get_ident()
        try:
            self._container.execute(run, work, callee)
        except InputCancellation:
            self._container.finish_cancelled(run, work)
