"""``modalnb run`` on real files, in real processes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import modalnb

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[..., Path]

PACKAGE = os.path.dirname(modalnb.__file__)

SQUARES = """
    import modalnb

    app = modalnb.App()

    @app.function()
    def square(x: int):
        print("squaring", x)
        if x == 7:
            raise ValueError("seven is out")
        return x * x

    @app.local_entrypoint()
    def main(count: int = 3):
        print(sum(square.map(range(count))))
    """


def test_run_only_entrypoint(run: Run, write: Write) -> None:
    write(SQUARES)
    done = run("job.py")
    assert (done.returncode, done.stderr) == (0, "")
    *printed, result = done.stdout.splitlines()
    assert sorted(printed) == ["squaring 0", "squaring 1", "squaring 2"]
    assert result == "5"


def test_run_passes_options(run: Run, write: Write) -> None:
    write(SQUARES)
    done = run("job.py", "--count", "4")
    assert done.stdout.splitlines()[-1] == "14"


def test_run_function_by_name_prints_its_result(run: Run, write: Write) -> None:
    write(SQUARES)
    done = run("job.py::app.square", "--x", "6")
    assert (done.returncode, done.stdout) == (0, "squaring 6\n36\n")


def test_run_quiet_prints_no_result(run: Run, write: Write) -> None:
    write(SQUARES)
    assert run("-q", "job.py::square", "--x", "6").stdout == "squaring 6\n"


def test_run_only_function_without_entrypoint(run: Run, write: Write) -> None:
    write("""
        import modalnb
        app = modalnb.App()
        @app.function()
        def greet(name="you"):
            return f"hello {name}"
        """)
    assert run("--detach", "job.py").stdout == "'hello you'\n"


MODEL = """
    import modalnb as modal

    app = modal.App()

    @app.cls()
    class Model:
        size: str = modal.parameter()
        depth: int = modal.parameter(default=2)

        @modal.enter()
        def load(self):
            self.name = f"{self.size}-{self.depth}"

        @modal.method()
        def predict(self, x: int, *, loud: bool = False):
            return f"{self.name} {x}{'!' * loud}"

        @modal.method()
        def stream(self):
            yield 1

        @modal.method()
        def clash(self, size: str): ...
    """


def test_run_method_takes_the_parameters_of_its_class_too(run: Run, write: Write) -> None:
    write(MODEL)
    done = run("job.py::Model.predict", "--size", "big", "--x", "3", "--loud")
    assert (done.returncode, done.stdout, done.stderr) == (0, "'big-2 3!'\n", "")


def test_run_method_of_a_named_app_shows_all_options(run: Run, write: Write) -> None:
    write(MODEL)
    done = run("job.py::app.Model.predict", "--help")
    assert done.returncode == 0
    for option in ("--x INTEGER", "--size TEXT", "--depth INTEGER", "--loud / --no-loud"):
        assert option in done.stdout


def test_run_method_that_cannot_run_by_name_says_why(run: Run, write: Write) -> None:
    write(MODEL)
    done = run("job.py::Model.stream", "--size", "s")
    assert done.returncode == 2
    assert "`Model.stream` is a generator" in done.stderr
    done = run("job.py::Model.clash", "--size", "s")
    assert "Both `Model.clash` and its class have a parameter `size`" in done.stderr
    done = run("job.py")
    assert "job.py::Model.predict, job.py::Model.stream, job.py::Model.clash" in done.stderr


def test_run_coroutine_entrypoint(run: Run, write: Write) -> None:
    write("""
        import modalnb
        app = modalnb.App()
        @app.function()
        async def half(x):
            return x / 2
        @app.local_entrypoint()
        async def main():
            print(await half.remote.aio(3), [x async for x in half.map.aio([1, 2])])
        """)
    assert run("job.py").stdout == "1.5 [0.5, 1.0]\n"


def test_run_module_with_neighbour(run: Run, write: Write) -> None:
    """The folder that Python would import from is known in containers too."""
    write("", "package/__init__.py")
    write("def triple(x):\n    return 3 * x\n", "package/numbers_.py")
    write(
        """
        import modalnb
        from package.numbers_ import triple
        app = modalnb.App()
        @app.function()
        def work(x: int):
            return triple(x), __name__
        """,
        "package/jobs.py",
    )
    assert run("-m", "package.jobs", "--x", "5").stdout == "(15, 'package.jobs')\n"


def test_run_file_elsewhere_with_neighbour(run: Run, write: Write) -> None:
    write("def triple(x):\n    return 3 * x\n", "folder/neighbour.py")
    write(
        """
        import modalnb
        import neighbour
        app = modalnb.App()
        @app.function()
        def work(x: int):
            return neighbour.triple(x)
        """,
        "folder/job.py",
    )
    assert run("folder/job.py::work", "--x", "5").stdout == "15\n"


def test_run_writes_result(run: Run, write: Write, tmp_path: Path) -> None:
    write("""
        import modalnb
        app = modalnb.App()
        @app.function()
        def page(kind: str):
            return {"str": "grüße", "bytes": bytes(range(256)), "int": 1}[kind]
        """)
    assert run("-w", "out", "job.py", "--kind", "str").stdout == ""
    assert (tmp_path / "out").read_text(encoding="utf-8") == "grüße"
    run("--write-result", "out", "job.py", "--kind", "bytes")
    assert (tmp_path / "out").read_bytes() == bytes(range(256))
    refused = run("-w", "out", "job.py", "--kind", "int")
    assert refused.returncode == 1
    assert "needs a result of type str or bytes; got int." in refused.stderr


def test_run_example_of_the_scaling_guide(run: Run, write: Write) -> None:
    """The guide's example stands here word for word; what it needs is before, a check after it."""
    write("""
        import modalnb as modal

        app = modal.App("guide")

        def heavy_computation(item):
            return sum(range(item % 100))

        @app.function()
        def process(item):
            return heavy_computation(item)

        @app.local_entrypoint()
        def main():
            items = list(range(10_000))
            results = list(process.map(items))

            assert results == [heavy_computation(item) for item in items]
            print(len(results), "results in order")
        """)
    done = run("job.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "10000 results in order\n", "")


def test_run_failure_shows_frames_of_user_and_container_only(run: Run, write: Write) -> None:
    write(SQUARES)
    done = run("job.py", "--count", "9")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("ValueError: seven is out\n")
    assert "in main\n    print(sum(square.map(range(count))))" in done.stderr
    assert 'in square\n    raise ValueError("seven is out")' in done.stderr
    assert PACKAGE not in done.stderr


def test_run_failure_with_cause_shows_both(run: Run, write: Write) -> None:
    write("""
        import modalnb
        app = modalnb.App()
        @app.function()
        def work():
            return {}["missing"]
        @app.local_entrypoint()
        def main():
            try:
                work.remote()
            except KeyError as error:
                raise RuntimeError("no luck") from error
        """)
    done = run("job.py")
    assert done.returncode == 1
    assert "KeyError: 'missing'" in done.stderr
    assert "RuntimeError: no luck" in done.stderr
    assert PACKAGE not in done.stderr


def test_run_logging_of_function_is_its_own(run: Run, write: Write) -> None:
    """Containers have no handlers that would make ``basicConfig`` of user code do nothing."""
    write("""
        import logging, modalnb
        app = modalnb.App()
        @app.function()
        def work():
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
            logging.info("loaded")
        """)
    assert run("job.py").stderr == "INFO loaded\n"


def test_run_exit_of_entrypoint_is_the_status(run: Run, write: Write) -> None:
    write("""
        import sys, modalnb
        app = modalnb.App()
        @app.local_entrypoint()
        def main():
            sys.exit(5)
        """)
    assert run("job.py").returncode == 5


def test_run_map_shows_bar_on_terminal(write: Write, tmp_path: Path) -> None:
    write("""
        import time, modalnb
        app = modalnb.App()
        @app.function(max_containers=1)
        def nap(x):
            time.sleep(0.5)
            return x
        @app.local_entrypoint()
        def main():
            print("sum", sum(nap.map(range(5))))
        """)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    root = str(Path(PACKAGE).parent)
    with subprocess.Popen(
        [sys.executable, "-m", "modalnb", "run", "job.py"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": root, "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        screen = _read_all(ours)
    os.close(ours)
    assert process.returncode == 0
    assert "nap: 100%" in screen
    assert "5/5" in screen
    assert "1 container" in screen
    assert "sum 10" in screen


def _read_all(terminal: int) -> str:
    data = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # what Linux says when the other end is closed
            chunk = b""
        if not chunk:
            return data.decode()
        data += chunk
