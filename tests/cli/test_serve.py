"""``modalnb serve``, as a user runs it in a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import ROOT, Run, Write

Serve = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[..., None]

SHOP = """
    import modalnb as modal
    from words import WORD

    app = modal.App("shop")

    @app.function(max_containers=1)
    @modal.fastapi_endpoint()
    def hello():
        import os
        print("hello is called")
        return [WORD, os.getpid()]
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start ``modalnb serve`` in a process group of its own."""
    started = []

    def serve(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "modalnb", "serve", *words],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            process_group=0,
        )
        started.append(process)
        return process

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    name, url = process.stdout.readline().split()
    assert name == "hello"
    return url


def test_saved_file_takes_effect_in_warm_containers(
    write: Write, serve: Serve, wait_until: Wait
) -> None:
    words = write("WORD = 'one'", "words.py")
    write(SHOP, "shop.py")
    process = serve("shop.py")
    url = _url(process)
    word, pid = httpx.get(url, timeout=30).json()
    assert word == "one"
    words.write_text("WORD = 'two'\n")
    wait_until(lambda: httpx.get(url, timeout=30).json() == ["two", pid])
    words.write_text("WORD =\n")
    assert process.stderr is not None
    while "The version before goes on." not in process.stderr.readline():
        assert process.poll() is None
    assert httpx.get(url, timeout=30).json() == ["two", pid]
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "hello is called" in out
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_port_is_the_one_asked_for_and_the_timeout_ends_it(write: Write, serve: Serve) -> None:
    write("WORD = 'one'", "words.py")
    write(SHOP, "shop.py")
    process = serve("shop.py", "--port", "0", "--timeout", "0.5", "--no-reload")
    assert _url(process).startswith("http://127.0.0.1:")
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_file_without_web_functions_is_refused(run: Run, write: Write) -> None:
    write("import modalnb\napp = modalnb.App()\n")
    done = run("job.py", command=("serve",))
    assert done.returncode == 2
    assert "There is no web function in job.py." in done.stderr
