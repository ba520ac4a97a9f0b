"""Beginning and end: scripts, kernels, interrupts and kills leave nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager

import modalnb

ROOT = str(Path(modalnb.__file__).parents[1])
ENV = {**os.environ, "PYTHONPATH": ROOT}

PRELUDE = """
import modalnb as modal
app = modal.App("my-app")

@app.function(max_containers=2)
def square(x):
    return x * x

@app.function(max_containers=2)
def hang(x):
    import threading
    print("hanging", flush=True)
    threading.Event().wait(600)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def start(body: str) -> subprocess.Popen[str]:
        path = tmp_path / "job.py"
        path.write_text(PRELUDE + textwrap.dedent(body))
        process = subprocess.Popen(
            [sys.executable, str(path)],
            env=ENV,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was never printed; stderr: {process.communicate()[1]}")


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def _is_engine(process: psutil.Process) -> bool:
    try:
        return "modalnb.engine" in process.cmdline()
    except psutil.Error:
        return False


def _assert_gone(family: list[psutil.Process]) -> None:
    assert family, "the script had started no process"
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive, f"left behind: {alive}"


def test_script_ends_quietly_and_leaves_nothing(script: Any) -> None:
    process = script(
        """
        print(list(square.map(range(5))))
        print("done", flush=True)
        input()
        """.replace("input()", "import sys; sys.stdout.flush()")
    )
    out, err = process.communicate(timeout=60)
    assert out == "[0, 1, 4, 9, 16]\ndone\n"
    assert err == ""
    assert process.returncode == 0


def test_script_with_unfinished_work_ends_quietly(script: Any) -> None:
    process = script(
        """
        call = hang.spawn(1)
        results = square.map(iter(int, 1))
        next(results)
        print("done", flush=True)
        import sys; sys.stdin.read() if False else None
        """
    )
    _read_until(process, "done")
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 0


def test_killed_script_takes_engine_and_containers_with_it(script: Any) -> None:
    process = script("list(hang.map(range(4)))")
    _read_until(process, "hanging")
    family = _family(process)
    process.kill()
    process.wait()
    _assert_gone(family)


def test_killed_script_with_a_child_that_holds_the_pipe(script: Any) -> None:
    """A fork of the caller keeps every descriptor open; the engine ends all the same."""
    process = script(
        """
        import os, time
        square.remote(1)
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        list(hang.map(range(4)))
        """
    )
    _read_until(process, "hanging")
    family = [p for p in _family(process) if _is_engine(p)]
    process.kill()
    process.wait()
    _assert_gone(family)


def test_killed_engine_fails_the_call_and_the_next_call_starts_another(script: Any) -> None:
    process = script(
        """
        import os, signal
        from modalnb.api import current
        square.remote(1)

        def inputs():
            # The map is open by now; before it, its call would start another engine and hang.
            yield 1
            os.kill(current.session().engine.pid, signal.SIGKILL)
            yield 2

        try:
            list(hang.map(inputs()))
        except modal.exception.Error as error:
            print(type(error).__name__, error)
        print(square.remote(3))
        """
    )
    out, err = process.communicate(timeout=60)
    assert "Error" in out
    assert out.endswith("9\n"), (out, err)
    assert "Traceback" not in err


def test_killed_zygote_ends_the_engine_and_the_next_call_starts_another(script: Any) -> None:
    process = script(
        """
        import os, signal, psutil
        from modalnb.api import current
        square.remote(1)
        engine = psutil.Process(current.session().engine.pid)
        zygote = engine.children()[0]

        def inputs():
            # The map is open by now; before it, its call would start another engine and hang.
            yield 1
            zygote.kill()
            yield 2

        try:
            list(hang.map(inputs()))
        except modal.exception.ConnectionError as error:
            print(error)
        print(square.remote(3))
        """
    )
    out, err = process.communicate(timeout=60)
    assert "connection to the engine is lost" in out, (out, err)
    assert out.endswith("\n9\n")
    assert process.returncode == 0


def test_ctrl_c_during_a_map_cancels_and_leaves_nothing(script: Any) -> None:
    process = script(
        """
        try:
            list(hang.map(range(100)))
        except KeyboardInterrupt:
            from modalnb.api import current
            print("interrupted", flush=True)
            while hang.snapshot().demand:
                pass
            print("empty", square.remote(2), flush=True)
        """
    )
    _read_until(process, "hanging")
    family = _family(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "interrupted\n" in out
    assert out.endswith("empty 4\n")
    assert "Traceback" not in err
    assert process.returncode == 0
    _assert_gone(family)


def test_uncaught_ctrl_c_shows_one_traceback_of_the_users_frames(script: Any) -> None:
    process = script("list(hang.map(range(100)))")
    _read_until(process, "hanging")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err.count("Traceback") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_app_run_opens_and_closes_everything(script: Any) -> None:
    process = script(
        """
        import psutil
        with app.run():
            print(square.remote(3))
            try:
                with app.run():
                    pass
            except modal.exception.InvalidError as error:
                print(error)
        print(len(psutil.Process().children(recursive=True)), app.is_running)
        with app.run():
            print(square.remote(4))
        """
    )
    out, err = process.communicate(timeout=90)
    assert out == "9\nThe app is running already; `run` cannot be nested.\n0 False\n16\n", err
    assert err == ""


def test_ports_and_files_are_free_after_the_end(script: Any, tmp_path: Path) -> None:
    process = script(
        """
        from modalnb.api import current
        square.remote(1)
        stub = current.stub()
        print(current.session().address, stub.depot.folder, flush=True)
        """
    )
    out, _ = process.communicate(timeout=60)
    address, folder = out.split()
    port = int(address.rpartition(":")[2])
    assert not os.path.exists(folder)
    assert port not in {c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN"}


@pytest.fixture
def kernel() -> Iterator[Any]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=ENV)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def _run_cell(client: Any, code: str, timeout: float = 60) -> tuple[str, str, list[str]]:
    """Run a cell; returns its stdout, its stderr and the text of its results and errors."""
    outputs: list[Any] = []
    client.execute_interactive(
        textwrap.dedent(code), timeout=timeout, output_hook=outputs.append, allow_stdin=False
    )
    texts: dict[str, str] = {"stdout": "", "stderr": ""}
    results = []
    for message in outputs:
        content = message["content"]
        if message["msg_type"] == "stream":
            texts[content["name"]] += content["text"]
        elif message["msg_type"] in ("execute_result", "display_data"):
            results.append(content["data"]["text/plain"])
        elif message["msg_type"] == "error":
            results.append(_plain("\n".join(content["traceback"])))
    return texts["stdout"], texts["stderr"], results


def _plain(text: str) -> str:
    """The text without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _kernel_family(manager: Any) -> list[psutil.Process]:
    return list(psutil.Process(manager.provisioner.pid).children(recursive=True))


def test_cells_of_a_real_kernel(kernel: Any) -> None:
    """Plain map, live prints, edits, errors with the cell's lines, all in a cell."""
    _, client = kernel
    _run_cell(client, PRELUDE)
    out, err, results = _run_cell(client, "list(square.map(range(4)))")
    assert results == ["[0, 1, 4, 9]"]
    assert "engine started in" in out
    _run_cell(client, "@app.function()\ndef square(x):\n    print('cubing')\n    return x ** 3")
    out, err, results = _run_cell(client, "list(square.map(range(3)))")
    assert results == ["[0, 1, 8]"]
    assert out == "cubing\n" * 3
    assert err == ""
    _, _, results = _run_cell(
        client, "[x async for x in square.map.aio([2])], await square.remote.aio(2)"
    )
    assert results == ["([8], 8)"]
    numbers = "async def numbers():\n    for n in range(3):\n        yield n\n"
    _, _, results = _run_cell(client, numbers + "list(square.map(numbers()))")
    assert results == ["[0, 1, 8]"], "the loop of cells stands still while one of them waits"
    _, _, results = _run_cell(client, "list(square.map(square.map(range(3))))")
    assert results == ["[0, 1, 512]"]
    _, err, results = _run_cell(
        client,
        """
        class Mine(Exception):
            pass

        @app.function()
        def fail():
            raise Mine("here")  # the line

        try:
            fail.remote()
        except Mine as error:
            print("caught")
        fail.remote()
        """,
    )
    assert "Mine" in results[0]
    assert "# the line" in results[0]
    assert ", in fail()" in results[0]
    assert "modalnb/api" not in results[0]
    _, _, results = _run_cell(client, "square")
    assert results[0].startswith("<Function square of app my-app: ")


def test_busy_cell_does_not_slow_queued_work(kernel: Any) -> None:
    """The engine is a process of its own: queued work is done while a cell loops in pure Python."""
    _, client = kernel
    _run_cell(client, PRELUDE)
    _run_cell(client, "call = square.spawn_map(range(2000)); call.get(index=0)")
    _, _, results = _run_cell(
        client,
        """
        import time
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass
        call.status()["done"]
        """,
    )
    assert results == ["2000"]


def test_interrupted_cell_cancels_its_map(kernel: Any, wait_until: Any) -> None:
    manager, client = kernel
    _run_cell(client, PRELUDE)
    _run_cell(client, "square.remote(1)")
    request = client.execute("list(hang.map(range(50)))", stop_on_error=False)
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream" and "hanging" in message["content"]["text"]:
            break
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=60)
    while reply["parent_header"].get("msg_id") != request:
        reply = client.get_shell_msg(timeout=60)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    _, _, results = _run_cell(
        client,
        """
        import time
        deadline = time.monotonic() + 20
        while hang.snapshot().demand and time.monotonic() < deadline:
            time.sleep(0.05)
        hang.snapshot().demand
        """,
    )
    assert results == ["0"]


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_kernel_restart_or_kill_leaves_no_process(kernel: Any, how: str) -> None:
    manager, client = kernel
    _run_cell(client, PRELUDE)
    _run_cell(client, "square.remote(1); call = hang.spawn(1)")
    family = _kernel_family(manager)
    if how == "kill":
        os.kill(manager.provisioner.pid, signal.SIGKILL)
    else:
        manager.restart_kernel(now=False)
    _assert_gone(family)
