"""One container's life: takes inputs, runs them one after the other, reports outputs.

Two threads share the work.  The loop thread is the Dask worker's: it only moves messages.  User
code runs on a thread of its own, the main thread where the process is ours, so that signals and
libraries that insist on the main thread work.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from modalnb import messages as m
from modalnb.exception import InputCancellation
from modalnb.payload import code as codes
from modalnb.payload.shared_memory import Depot
from modalnb.runtime import context, invoke
from modalnb.runtime.printing import Printer, flush_streams

#: Outputs wait this long for others while the container has more to do.
COALESCE_SECONDS = 0.008
USAGE_SECONDS = 1.0
CANCEL_SIGNAL = signal.SIGUSR1

#: (lease, call id, index, code, payload)
Job = tuple[int, str, int, str, Any]


class Container:
    """The jobs, code and outputs of one container process."""

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        loop: asyncio.AbstractEventLoop,
        home: Any,
    ) -> None:
        self._send = send
        self._home = home
        self._printer: Printer = home.printer
        depot: Depot | None = home.depot
        self._loop = loop
        self._depot = depot
        self._blobs: dict[str, Any] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        #: Jobs not started yet, in order; `_tokens` has one entry for each that was ever here.
        self._jobs: dict[int, Job] = {}
        self._tokens: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._outputs: list[tuple[int, str, Any, float]] = []
        self._is_flushing = False
        self._flushed_at = 0.0
        self._thread: int | None = None
        self._is_main_thread = False
        self._task: asyncio.Task[Any] | None = None
        self._user_loop: asyncio.AbstractEventLoop | None = None
        #: The lease that user code works on; guarded, so that a cancel hits no other one.
        self._running: int | None = None
        self._running_lock = threading.RLock()
        self._cancelled: set[int] = set()
        self._usage_mark = (0.0, 0.0)
        self._is_measuring = False

    # -- messages of the plane, on the loop thread -----------------------------------------

    def on_code(self, code: str, blob: Any) -> None:
        """Keep a function until an input needs it."""
        self._blobs[code] = blob

    def on_run(self, inputs: Iterable[Job]) -> None:
        """Queue inputs."""
        for job in inputs:
            self._jobs[job[0]] = job
            self._tokens.put(job[0])
        if not self._is_measuring:
            self._is_measuring = True
            self._usage_mark = (time.monotonic(), _cpu_seconds())
            self._loop.call_later(USAGE_SECONDS, self._report_usage)

    def on_recall(self, leases: Iterable[int]) -> None:
        """Give back what has not been started."""
        returned = [lease for lease in leases if self._jobs.pop(lease, None) is not None]
        self._flush()
        self._send({"op": m.RETURNED, "leases": returned})

    def on_stop(self, leases: Iterable[int]) -> None:
        """Cancel inputs: those not started at once, the running one by an exception."""
        for lease in leases:
            if self._jobs.pop(lease, None) is not None:
                self._report(lease, "cancelled", None, 0.0)
            else:
                self._interrupt(lease)

    def _interrupt(self, lease: int) -> None:
        with self._running_lock:
            if self._running != lease:
                return
            self._cancelled.add(lease)
            if self._task is not None and self._user_loop is not None:
                self._user_loop.call_soon_threadsafe(self._task.cancel)
            elif self._is_main_thread and self._thread is not None:
                signal.pthread_kill(self._thread, CANCEL_SIGNAL)
            elif self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(InputCancellation)
                )

    def _on_signal(self, *_: Any) -> None:
        if self._running in self._cancelled:
            self._cancelled.discard(self._running)
            raise InputCancellation

    def _report_usage(self) -> None:
        """Cores wanted since the last report, and resident memory; only while there is work."""
        is_busy = self._running is not None
        now, cpu = time.monotonic(), _cpu_seconds()
        then, cpu_then = self._usage_mark
        used = max(0.0, cpu - cpu_then) / max(now - then, 1e-9)
        self._send({"op": m.USAGE, "cpu": used, "memory": _resident_bytes(), "is_new": is_busy})
        self._usage_mark = (now, cpu)
        self._is_measuring = is_busy
        if is_busy:
            self._loop.call_later(USAGE_SECONDS, self._report_usage)

    # -- user code, on its own thread ------------------------------------------------------

    def run_forever(self) -> None:
        """Work on inputs until :meth:`close`; to be called on the thread of the user code."""
        self._thread = threading.get_ident()
        self._is_main_thread = threading.current_thread() is threading.main_thread()
        if self._is_main_thread:
            signal.signal(CANCEL_SIGNAL, self._on_signal)
        while (lease := self._tokens.get()) is not None:
            job = self._jobs.pop(lease, None)
            if job is not None:
                self._run(job)

    def close(self) -> None:
        """Let :meth:`run_forever` return after the input that it works on."""
        self._tokens.put(None)

    def _run(self, job: Job) -> None:
        lease, call_id, index, code, payload = job
        token = context.current.set(context.CurrentInput(call_id, index, self._home))
        started = time.perf_counter()
        try:
            self._running = lease
            status, output = self._call(code, payload)
        except InputCancellation:
            # It came between the end of the user code and here.
            status, output = "cancelled", None
        finally:
            with self._running_lock:
                self._running = None
                self._cancelled.discard(lease)
            flush_streams()
            context.current.reset(token)
        self._report(lease, status, output, time.perf_counter() - started)

    def _call(self, code: str, payload: Any) -> invoke.Outcome:
        try:
            function = self._function(code)
        except BaseException as error:
            return invoke.outcome_of(error)
        if inspect.iscoroutinefunction(function):
            return self._call_async(function, payload)
        return invoke.call_sync(function, payload, self._depot)

    def _call_async(self, function: Callable[..., Any], payload: Any) -> invoke.Outcome:
        loop = self._user_loop
        if loop is None:
            loop = self._user_loop = asyncio.new_event_loop()
        self._task = loop.create_task(invoke.call_async(function, payload, self._depot))
        try:
            status, output = loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            return "cancelled", None
        finally:
            self._task = None
        return ("cancelled", None) if self._running in self._cancelled else (status, output)

    def _function(self, code: str) -> Callable[..., Any]:
        function = self._functions.get(code)
        if function is None:
            function = self._functions[code] = codes.load(self._blobs[code])
        return function

    # -- outputs ---------------------------------------------------------------------------

    def _report(self, lease: int, status: str, output: Any, seconds: float) -> None:
        self._outputs.append((lease, status, output, seconds))
        if self._is_flushing:
            return
        if self._jobs and time.perf_counter() - self._flushed_at < COALESCE_SECONDS:
            self._is_flushing = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(
                    self._loop.call_later, COALESCE_SECONDS, self._flush
                )
            return
        self._is_flushing = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        self._flushed_at = time.perf_counter()
        self._printer.flush()
        if self._outputs:
            outputs, self._outputs = self._outputs, []
            self._send({"op": m.OUTPUTS, "outputs": outputs})


def _cpu_seconds() -> float:
    """CPU time that the threads of this process had, and that they waited for.

    With the time that they had alone, containers that crowd each other out would seem to need
    little, and more and more of them would be started.
    """
    nanoseconds = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/self/task/{thread}/schedstat") as file:
                    had, waited, _ = file.read().split()
                nanoseconds += int(had) + int(waited)
    except (OSError, ValueError):
        return time.process_time()
    return nanoseconds / 1e9 or time.process_time()


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
