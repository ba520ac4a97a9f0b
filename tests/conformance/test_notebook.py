"""Plain calls in the cells of a real kernel, where an event loop is always running."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

import modalnb

ROOT = str(Path(modalnb.__file__).parents[1])

PRELUDE = """
import asyncio, warnings
import modalnb as modal
warnings.simplefilter("always")
asyncio.get_running_loop().set_debug(True)

app = modal.App("cells")

@app.function(max_containers=2)
def square(x):
    return x * x

@app.function(max_containers=1)
def count(stop):
    yield from range(stop)

@app.function(max_containers=1)
@modal.concurrent(max_inputs=4)
async def later(x):
    await asyncio.sleep(0)
    return x

@app.function(max_containers=1)
@modal.batched(max_batch_size=4, wait_ms=10)
def double(xs):
    return [2 * x for x in xs]

@app.function(max_containers=1)
def hang(x):
    import time
    print("hanging", flush=True)
    time.sleep(600)

square.remote(1)
"""


class Kernel:
    """A kernel, and what a cell in it showed."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, cell: str) -> tuple[str, str]:
        """The last value of a cell, or its error, and all that it wrote to stderr."""
        outputs: list[Any] = []
        self.client.execute_interactive(
            textwrap.dedent(cell), timeout=60, output_hook=outputs.append, allow_stdin=False
        )
        result, stderr = "", ""
        for message in outputs:
            content = message["content"]
            if message["msg_type"] == "execute_result":
                result = content["data"]["text/plain"]
            elif message["msg_type"] == "error":
                result = f"{content['ename']}: {content['evalue']}"
            elif message["msg_type"] == "stream" and content["name"] == "stderr":
                stderr += content["text"]
        return result, stderr


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "PYTHONPATH": ROOT, "MODALNB_PROGRESS": "0"})
    kernel = Kernel(manager)
    result, stderr = kernel.run(PRELUDE)
    assert (result, stderr) == ("1", "")
    yield kernel
    kernel.client.stop_channels()
    manager.shutdown_kernel(now=True)


CELLS = {
    "square.remote(3)": "9",
    "list(square.map(range(4)))": "[0, 1, 4, 9]",
    "[x for x in square.map(range(3))]": "[0, 1, 4]",
    "list(square.starmap([(2,), (3,)]))": "[4, 9]",
    "square.for_each(range(3)) is None": "True",
    "list(square.spawn_map(range(3)).iter())": "[0, 1, 4]",
    "square.spawn(5).get()": "25",
    "modal.FunctionCall.gather(square.spawn(1), square.spawn(2))": "[1, 4]",
    "list(count.remote_gen(4))": "[0, 1, 2, 3]",
    "[x for x in count.remote_gen(100) if x > 97]": "[98, 99]",
    "next(count.remote_gen(100))": "0",
    "list(later.map(range(4)))": "[0, 1, 2, 3]",
    "list(double.map(range(4)))": "[0, 2, 4, 6]",
    "square.spawn(2).get_call_graph()[0].function_name": "'square'",
    "square.update_autoscaler(buffer_containers=0).max_containers": "2",
    "square.autoscaler.settings().max_containers": "2",
    "square.get_current_stats().num_running_inputs": "0",
    "square.local(4)": "16",
    "await square.remote.aio(4)": "16",
    "[x async for x in square.map.aio(range(3))]": "[0, 1, 4]",
    "[x async for x in square.map(range(3))]": "[0, 1, 4]",
    "[x async for x in count.remote_gen.aio(3)]": "[0, 1, 2]",
    "await (await square.spawn.aio(3)).get.aio()": "9",
    "await asyncio.gather(*(square.remote.aio(n) for n in range(3)))": "[0, 1, 4]",
    "sum(square.remote(n) for n in range(3))": "5",
    "(lambda: list(square.map([2])))()": "[4]",
}


@pytest.mark.parametrize("cell", CELLS)
def test_plain_and_awaited_calls_work_in_a_cell_without_any_warning(
    kernel: Kernel, cell: str
) -> None:
    assert kernel.run(cell) == (CELLS[cell], "")


def test_functions_that_a_cell_calls_may_call_too(kernel: Kernel) -> None:
    cell = """
    def helper():
        with app.run():
            return square.remote(2), list(square.map([1, 2]))

    helper()
    """
    assert kernel.run(cell) == ("(4, [1, 4])", "")


@pytest.mark.parametrize("call", ["square.remote(1)", "list(square.map([1]))", "square.spawn(1)"])
def test_blocking_call_in_a_coroutine_of_a_cell_names_the_twin(kernel: Kernel, call: str) -> None:
    result, stderr = kernel.run(f"async def main():\n    {call}\n\nawait main()")
    assert result.startswith("InvalidError")
    assert ".aio(...)" in result
    assert stderr == ""


def test_redefined_function_runs_as_it_is_now_in_the_warm_container(kernel: Kernel) -> None:
    cell = """
    @app.function(max_containers=1)
    def version():
        import os
        return {text!r}, os.getpid()

    version.remote()
    """
    results = [kernel.run(cell.format(text=text)) for text in ("old", "new")]
    (old, first), (new, second) = (eval(result) for result, _ in results)
    assert (old, new) == ("old", "new")
    assert first == second
    assert [stderr for _, stderr in results] == ["", ""]


def test_exception_of_a_cell_is_caught_by_its_class(kernel: Kernel) -> None:
    cell = """
    class Mine(Exception):
        pass

    @app.function(max_containers=1)
    def fail():
        raise Mine("here")

    caught = []
    for call in (fail.remote, lambda: list(fail.starmap([()])), fail.spawn().get):
        try:
            call()
        except Mine as error:
            caught.append(type(error) is Mine)
    caught
    """
    assert kernel.run(cell) == ("[True, True, True]", "")


@pytest.mark.parametrize("call", ["hang.remote(1)", "list(hang.map(range(50)))"])
def test_interrupt_cancels_what_the_cell_waits_for(kernel: Kernel, call: str) -> None:
    request = kernel.client.execute(call, stop_on_error=False)
    while True:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream" and "hanging" in message["content"]["text"]:
            break
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=60)
    while reply["parent_header"].get("msg_id") != request:
        reply = kernel.client.get_shell_msg(timeout=60)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    cell = """
    import time
    deadline = time.monotonic() + 20
    while hang.snapshot().demand and time.monotonic() < deadline:
        time.sleep(0.02)
    hang.snapshot().demand
    """
    result, _ = kernel.run(cell)
    assert result == "0"
