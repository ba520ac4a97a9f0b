"""One container: takes inputs, has them executed, reports outputs.

The loop thread is the Dask worker's: it only moves messages.  User code runs on the threads of
the :class:`~modalnb.runtime.crew.Crew`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from modalnb import messages as m
from modalnb.payload.shared_memory import Depot
from modalnb.runtime import context, invoke, offspring, usage
from modalnb.runtime.crew import Crew
from modalnb.runtime.deadlines import Deadlines
from modalnb.runtime.loading import Loader
from modalnb.runtime.printing import Printer, flush_streams
from modalnb.runtime.streaming import Producer
from modalnb.runtime.work import Job, Run, Work, first_of, jobs_of

#: Outputs wait this long for others while the container has more to do.
COALESCE_SECONDS = 0.008
USAGE_SECONDS = 1.0


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
        self._depot: Depot | None = home.depot
        self._loop = loop
        self._loader = Loader(self._depot)
        self._crew = Crew(self, self._loader)
        #: Slots that the function has, and that the code in this container wants it to have.
        self._max_inputs = 1
        self._own_slots: int | None = None
        #: Work that has not been started, in order, by its first lease.
        self._waiting: dict[int, Work] = {}
        #: What executes, by each of its leases.
        self._runs: dict[int, Run] = {}
        #: Cancelled leases on inputs that are about to start, or that wait in a batch.
        self._cancelled_early: set[int] = set()
        self._deadlines = Deadlines(
            loop,
            self._runs,
            is_loading=lambda: self._loader.is_loading,
            on_overdue=self._on_overdue,
            on_in_time=self._on_in_time,
            guards_process=home.is_guest,
        )
        self._producers: dict[int, Producer] = {}
        self._outputs: list[tuple[int, str, Any, float]] = []
        self._yields: list[tuple[int, int, Any]] = []
        self._is_flushing = False
        self._flushed_at = 0.0
        self._usage = usage.Meter()
        self._is_measuring = False
        self._is_stopped = asyncio.Event()

    @property
    def handlers(self) -> dict[str, Callable[..., None]]:
        """The handler of each message of the plane."""
        return {
            m.CONFIGURE: self.on_configure,
            m.PREPARE: self.on_prepare,
            m.CODE: self.on_code,
            m.RUN: self.on_run,
            m.BATCH: self.on_batch,
            m.RECALL: self.on_recall,
            m.STOP: self.on_stop,
            m.TAKEN: self.on_taken,
        }

    # -- messages of the plane, on the loop thread -----------------------------------------

    def on_configure(self, max_inputs: int, timeout: float) -> None:
        """Work on so many inputs at once, each for so many seconds at most."""
        self._deadlines.timeout = timeout
        self._max_inputs = max_inputs
        self._resize()

    def _resize(self) -> None:
        own = self._own_slots
        slots = self._max_inputs if own is None else min(own, self._max_inputs)
        if slots != self._crew.slots:
            self._crew.slots = slots
            self._crew.put(None)

    def on_prepare(self, code: str, init: Any) -> None:
        """Start what this code is, and say how that went."""
        self._crew.put(lambda: self._prepare(code, init))

    def on_code(self, code: str, blob: Any) -> None:
        """Keep code until an input needs it."""
        self._loader.add(code, blob)

    def on_run(self, inputs: Iterable[Job]) -> None:
        """Queue inputs."""
        for job in inputs:
            self._waiting[job[0]] = job
            self._crew.put(job[0])
        self._has_work()

    def on_batch(self, inputs: Iterable[Job]) -> None:
        """Queue inputs for one invocation."""
        batch = list(inputs)
        self._waiting[batch[0][0]] = batch
        self._crew.put(batch[0][0])
        self._has_work()

    def _has_work(self) -> None:
        self._deadlines.watch()
        if not self._is_measuring:
            self._is_measuring = True
            self._usage.reset()
            self._loop.call_later(USAGE_SECONDS, self._report_usage)

    def on_recall(self, leases: Iterable[int]) -> None:
        """Give back what has not been started."""
        returned = [lease for lease in leases if self._waiting.pop(lease, None) is not None]
        self._flush()
        self._send({"op": m.RETURNED, "leases": returned})

    def on_stop(self, leases: Iterable[int]) -> None:
        """Cancel inputs: those not started at once, running ones by an exception."""
        for lease in leases:
            if isinstance(self._waiting.get(lease), tuple):
                del self._waiting[lease]
                self._add_output(lease, "cancelled", None, 0.0)
            elif (run := self._runs.get(lease)) is not None:
                run.leases.discard(lease)
                if not run.leases:
                    self._stop(run)
            elif self._waiting or self._runs:
                self._cancelled_early.add(lease)

    def on_taken(self, lease: int, taken: int) -> None:
        """The caller of a streamed output has taken so many of its elements."""
        if producer := self._producers.get(lease):
            producer.on_taken(taken)

    def _stop(self, run: Run) -> None:
        if run.is_stopped or self._crew.stop(run):
            return
        if run.producer is not None:
            # It comes to us with each element, and the plane waits for a while that it does.
            run.producer.cancel()
        else:
            self._send({"op": m.STUCK})

    def _on_overdue(self, run: Run, leases: list[int]) -> None:
        """An invocation has taken too long."""
        self._send({"op": m.OVERDUE, "leases": leases})
        self._stop(run)

    def _on_in_time(self, seconds: float) -> None:
        """The oldest invocation has taken so long, which is no longer than it may."""
        self._send({"op": m.IN_TIME, "seconds": seconds})

    def _report_usage(self) -> None:
        """Cores wanted since the last report, and resident memory; only while there is work."""
        is_busy = bool(self._runs)
        self._send({"op": m.USAGE, "is_new": is_busy, **self._usage.read()})
        self._is_measuring = is_busy
        if is_busy:
            self._loop.call_later(USAGE_SECONDS, self._report_usage)

    # -- life ------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Work on inputs until :meth:`close`; to be called on the thread of the user code."""
        try:
            self._crew.run_forever()
            self._loader.close()
        finally:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._is_stopped.set)
            flush_streams()

    def close(self) -> None:
        """Let :meth:`run_forever` return after the input that it works on."""
        self._crew.close()

    async def wait_stopped(self) -> None:
        """Return when :meth:`run_forever` has returned."""
        await self._is_stopped.wait()

    @property
    def is_in_user_code(self) -> bool:
        """Whether the main thread executes an input."""
        return self._crew.is_in_user_code

    # -- for user code ---------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """Inputs that may run at once."""
        return self._crew.slots

    @property
    def max_inputs(self) -> int:
        """Inputs that may run at once at most."""
        return self._max_inputs

    def set_slots(self, slots: int) -> None:
        """Let so many inputs run at once in this container."""
        self._own_slots = slots
        self._call_soon(self._resize)
        self._call_soon(lambda: self._send({"op": m.SLOTS, "slots": slots}))

    def leave(self) -> None:
        """Take no more inputs, and end when those that run have ended."""
        self._call_soon(lambda: self._send({"op": m.LEAVE}))

    def _prepare(self, code: str, init: Any) -> None:
        answer: dict[str, Any] = {"op": m.PREPARED}
        try:
            self._loader.prepare(code, init)
        except BaseException as error:
            answer["failure"] = invoke.failure_payload(error)
            answer["story"] = f"{type(error).__name__}: {error}"
        flush_streams()
        self._call_soon(lambda: self._send(answer))

    # -- for the crew, on its threads ------------------------------------------------------

    def take(self, token: int) -> Work | None:
        """The work under this number, unless it was recalled or cancelled."""
        return self._waiting.pop(token, None)

    def execute(self, run: Run, work: Work, callee: invoke.Callee) -> None:
        """Execute work on this thread and report what came of it."""
        token = self._begin(run, work)
        try:
            if isinstance(work, list):
                call = invoke.BatchCall(callee.function, _payloads(work), self._depot)
                outcomes = call.call_sync()
            else:
                producer = self._producer(work[0], run) if callee.streams else None
                outcomes = [invoke.call_sync(callee.function, work[4], self._depot, producer)]
        finally:
            context.current.reset(token)
        self._finish(run, work, outcomes)

    async def execute_async(self, run: Run, work: Work, callee: invoke.Callee) -> None:
        """Execute work as the running task and report what came of it."""
        self._begin(run, work)
        if isinstance(work, list):
            call = invoke.BatchCall(callee.function, _payloads(work), self._depot)
            outcomes = await call.call_async()
        else:
            producer = self._producer(work[0], run) if callee.streams else None
            outcomes = [await invoke.call_async(callee.function, work[4], self._depot, producer)]
        self._finish(run, work, outcomes)

    def _begin(self, run: Run, work: Work) -> Any:
        run.started = time.perf_counter()
        for lease in run.leases:
            self._runs[lease] = run
        if not self._deadlines.is_watching:
            self._call_soon(self._deadlines.watch)
        if self._cancelled_early:
            early = self._cancelled_early & run.leases
            self._call_soon(lambda: self.on_stop(early))
        _, call_id, index, _, _ = first_of(work)
        return context.current.set(context.CurrentInput(call_id, index, self._home, run))

    def _producer(self, lease: int, run: Run) -> Producer:
        producer = self._producers[lease] = Producer(lease, self._add_yield, self._depot)
        run.producer = producer
        return producer

    def finish_cancelled(self, run: Run, work: Work) -> None:
        """Report work that was stopped outside of the user's code."""
        self._finish(run, work, [("cancelled", None)] * len(jobs_of(work)))

    def _finish(self, run: Run, work: Work, outcomes: list[invoke.Outcome]) -> None:
        run.is_over = True
        seconds = time.perf_counter() - run.started
        flush_streams()
        if run.is_stopped:
            outcomes = [("cancelled", None)] * len(outcomes)
            if offspring.has_started_any(seconds):
                # They are what was to stop as well, and only the end of the container stops them.
                self._call_soon(lambda: self._send({"op": m.STUCK}))
        self.report(work, outcomes, seconds)

    def report(self, work: Work, outcomes: list[invoke.Outcome], seconds: float) -> None:
        """Send the outcomes of one invocation."""
        for job, (status, output) in zip(jobs_of(work), outcomes, strict=True):
            lease = job[0]
            self._runs.pop(lease, None)
            if self._producers:
                self._producers.pop(lease, None)
            self._outputs.append((lease, status, output, seconds))
        if self._cancelled_early and not self._waiting and not self._runs:
            self._cancelled_early.clear()
        self._flush_soon()

    # -- outputs ---------------------------------------------------------------------------

    def _add_output(self, lease: int, status: str, output: Any, seconds: float) -> None:
        self._outputs.append((lease, status, output, seconds))
        self._flush_soon()

    def _add_yield(self, item: tuple[int, int, Any]) -> None:
        self._yields.append(item)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._is_flushing:
            return
        self._is_flushing = True
        if self._waiting and time.perf_counter() - self._flushed_at < COALESCE_SECONDS:
            self._call_soon(lambda: self._loop.call_later(COALESCE_SECONDS, self._flush))
        else:
            self._call_soon(self._flush)

    def _call_soon(self, step: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(step)

    def _flush(self) -> None:
        self._is_flushing = False
        self._flushed_at = time.perf_counter()
        self._printer.flush()
        if self._yields:
            items, self._yields = self._yields, []
            self._send({"op": m.YIELDS, "items": items})
        if self._outputs:
            outputs, self._outputs = self._outputs, []
            self._send({"op": m.OUTPUTS, "outputs": outputs})


def _payloads(batch: list[Job]) -> list[Any]:
    return [job[4] for job in batch]
