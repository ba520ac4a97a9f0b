"""The bar of a long map is there for people, and says what they want to know."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import pytest

import modalnb

ROOT = str(Path(modalnb.__file__).parents[1])

SCRIPT = """
import threading
import modalnb as modal
app = modal.App("bar")

@app.function(max_containers=1)
def nap(x):
    threading.Event().wait(0.05)
    return x

print(sum(nap.map(range(60))))
"""


def test_bar_shows_done_total_running_pending_and_containers(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function(max_containers=1)
    def nap(x: int) -> int:
        threading.Event().wait(0.05)
        return x

    assert list(nap.map(range(40), progress=True)) == list(range(40))
    shown = capsys.readouterr().err
    assert re.search(r"nap:\s+\d+%", shown)
    assert "40/40" in shown
    assert re.search(r"1 running, \d+ pending, 1 container\b", shown)


def test_bar_without_known_total_grows_with_what_is_read(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function(max_containers=1)
    def same(x: int) -> int:
        return x

    list(same.map(iter(range(20)), progress=True))
    assert "20/20" in capsys.readouterr().err


def test_no_bar_where_nobody_looks(app: modalnb.App, capsys: pytest.CaptureFixture[str]) -> None:
    @app.function(max_containers=1)
    def nap(x: int) -> int:
        threading.Event().wait(0.05)
        return x

    list(nap.map(range(40)))
    assert capsys.readouterr().err == ""


def _run_on_terminal(path: Path, **env: str) -> str:
    """Run a script with its stderr on a terminal; returns what it showed there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, str(path)],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ROOT, **env},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert out.decode().strip().lstrip("0") == str(sum(range(60)))
    return shown.decode()


@pytest.mark.parametrize(("env", "has_bar"), [({}, True), ({"MODALNB_NONINTERACTIVE": "1"}, False)])
def test_bar_on_a_terminal_unless_turned_off(
    tmp_path: Path, env: dict[str, str], has_bar: bool
) -> None:
    script = tmp_path / "bar.py"
    script.write_text(SCRIPT)
    shown = _run_on_terminal(script, **env)
    assert ("60/60" in shown) is has_bar
    assert ("engine started in" in shown) is has_bar
    assert "Traceback" not in shown


def test_output_is_enabled_inside_only(tmp_path: Path) -> None:
    script = tmp_path / "bar.py"
    script.write_text(
        SCRIPT.replace(
            "print(",
            "print(sum(nap.map(range(40, 70))) - sum(range(40, 70)), end='')\n"
            "with modal.enable_output(): print(",
        )
    )
    shown = _run_on_terminal(script, MODALNB_PROGRESS="0")
    assert "60/60" in shown
    assert "30/30" not in shown


def test_enabling_output_ends_with_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(modalnb.config._values, "progress", False)

    def fail_inside() -> None:
        with modalnb.enable_output():
            assert modalnb.config.progress
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert not modalnb.config.progress


def test_call_that_waits_long_says_why(
    app: modalnb.App, capsys: pytest.CaptureFixture[str], wait_until: Any, tmp_path: Any
) -> None:
    gate = str(tmp_path / "gate")

    @app.function(max_containers=1)
    def wait() -> None:
        while not os.path.exists(gate):
            threading.Event().wait(0.01)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modalnb.api.function.PATIENCE_SECONDS", 0.0)
        patch.setattr("modalnb.api.current.is_watched", lambda: True)
        open(gate, "w").close()
        wait.remote()
    assert "modalnb: `wait` has waited 0 s: " in capsys.readouterr().err
