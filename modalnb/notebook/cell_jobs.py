"""The job of a ``%%remote`` cell: waits for its end on a thread, and brings its names back."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import contextvars
import importlib
import threading
import time
import types
from collections.abc import Generator, Iterable
from typing import Any

from modalnb.api.mapping import MapResults
from modalnb.exception import DeserializationError, ExecutionError, SerializationError
from modalnb.notebook.job import Job
from modalnb.notebook.job_facts import Stage
from modalnb.runtime.cell import CellOutput, output_beside

#: After an interrupt, so long is waited for the word of what became of the inputs.
FAREWELL_SECONDS = 2.0


class CellJob(Job):
    """The handle of one ``%%remote`` cell.

    ``await job`` and :meth:`result` give the value of its last expression, or a list of them if
    the cell ran once for each element of ``--map``.
    """

    ends_with_calls = False

    def __init__(self, job_id: str, function: str, cell: int | None, cell_id: str) -> None:
        super().__init__(job_id, function, cell, cell_id)
        self._done = threading.Event()
        #: What it failed with.
        self.error: BaseException | None = None
        self._value: Any = None
        self._is_interrupted = False
        self._started_at = time.time()
        #: Where names go, the name that gets the value, and whether there is one value an input.
        self.namespace: dict[str, Any] = {}
        self.out: str | None = None
        self.wants_value = False
        self.is_map = False
        #: Called when the job is over.
        self.on_end: list[Any] = []

    # -- its life --------------------------------------------------------------------------

    def start(self, results: MapResults) -> None:
        """Begin to wait for results, on a thread that shows them in the cell that started it."""
        work = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=work, args=(self._work, results), name=f"modalnb-{self.job_id}", daemon=True
        )
        self._thread.start()

    def _work(self, results: MapResults) -> None:
        try:
            self._take(list(results))
        except BaseException as error:
            self.error = error
            self._rescue(error)
        finally:
            self.finish(self.error)
            for step in self.on_end:
                step(self)
            self._done.set()

    def _take(self, outputs: list[CellOutput]) -> None:
        """Bring the names of a cell back; of a mapped one only its values."""
        if self.is_map:
            self._value = [_value_of(output, output.packed.value("value")[2]) for output in outputs]
        else:
            [output] = outputs
            self.note_start(output.started_at - self._started_at)
            self._take_names(output)
        if self.out is not None:
            self.namespace[self.out] = self._value

    def _rescue(self, error: BaseException) -> None:
        """Bring back what the cell had assigned before it failed."""
        output = output_beside(error)
        if output is not None:
            # Nothing may hide the error itself.
            with contextlib.suppress(Exception):
                self._take_names(output)

    def _take_names(self, output: CellOutput) -> None:
        try:
            anchor, names, value = output.packed.value("names that the cell assigned")
        except DeserializationError as error:
            if self.wants_value:
                raise
            self.note = str(error)
            return
        found = {n: _at_home(v, anchor.__globals__, self.namespace) for n, v in names.items()}
        missing = []
        for name, module in output.modules.items():
            try:
                found[name] = importlib.import_module(module)
            except ImportError:
                missing.append(name)
        self.namespace.update(found)
        self.note = _names_note(found, [name for name in output.refused if name], missing)
        self._value = _value_of(output, value)

    @property
    def stage(self) -> Stage:
        """How far it is."""
        return "interrupted" if self._is_interrupted and self.is_ended else super().stage

    def interrupt(self) -> None:
        """Cancel it because the cell that waits for it was interrupted."""
        self._is_interrupted = True
        self.cancel()
        self._done.wait(FAREWELL_SECONDS)

    # -- for whoever waits -----------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False if it has not come in time."""
        return self._done.wait(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """The value of the cell's last expression; a list of them for ``--map``.

        Raises
        ------
        TimeoutError
            The builtin one, if the job is not over in time.
        Exception
            Whatever the cell raised.
        """
        __tracebackhide__ = True
        if not self._done.wait(timeout):
            raise builtins.TimeoutError(f"Job {self.job_id} is not over after {timeout:g} s.")
        if self.error is not None:
            raise self.error
        return self._value

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self.result).__await__()

    def wait_for_name(self, name: str) -> None:
        """Wait for its end because a cell needs a name that it assigns."""
        __tracebackhide__ = True
        self._done.wait()
        if self.error is not None:
            error = f"{type(self.error).__name__}: {self.error}"
            raise ExecutionError(
                f"`{name}` comes from the cell of job {self.job_id}, which ended with {error}"
            )


def _value_of(output: CellOutput, value: Any) -> Any:
    if "" in output.refused:
        raise SerializationError(f"The cell has a value, but {output.refused['']}")
    return value


def _names_note(found: Iterable[str], refused: Iterable[str], missing: Iterable[str]) -> str:
    """One line about the names that came back, and those that did not."""
    parts = (
        ("Brought back", found, ""),
        ("Left in the container", refused, ", which cannot be pickled"),
        ("Not imported", missing, ", whose module is not installed here"),
    )
    return " ".join(f"{what} {', '.join(names)}{why}." for what, names, why in parts if names)


def _at_home(value: Any, there: dict[str, Any], here: dict[str, Any]) -> Any:
    """A function as if it had been defined in the notebook: its globals are the notebook's."""
    if not isinstance(value, types.FunctionType) or value.__globals__ is not there:
        return value
    function = types.FunctionType(
        value.__code__, here, value.__name__, value.__defaults__, value.__closure__
    )
    function.__kwdefaults__ = value.__kwdefaults__
    function.__annotations__ = value.__annotations__
    function.__dict__.update(value.__dict__)
    function.__doc__, function.__qualname__ = value.__doc__, value.__qualname__
    return function
