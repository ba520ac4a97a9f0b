"""What containers print reaches the caller: all of it, in order, before the result."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest

import modalnb


def test_prints_of_both_streams_come_before_the_result(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function()
    def talk(name: str) -> None:
        print(f"hello {name}")
        print("careful", file=sys.stderr)
        print("no newline", end="")

    talk.remote("you")
    out, err = capsys.readouterr()
    assert out == "hello you\nno newline"
    assert err == "careful\n"


def test_prints_of_a_map_are_complete(app: modalnb.App, capsys: pytest.CaptureFixture[str]) -> None:
    @app.function(max_containers=2)
    def talk(x: int) -> None:
        print(f"line {x}")

    list(talk.map(range(200)))
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"line {x}" for x in range(200))


def test_logging_and_warnings_follow_stderr(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function()
    def talk() -> None:
        logging.getLogger("mine").warning("logged")
        warnings.warn("warned", stacklevel=1)

    talk.remote()
    err = capsys.readouterr().err
    assert "logged" in err
    assert "UserWarning: warned" in err


def test_prints_below_python_reach_the_caller(
    app: modalnb.App, capsys: pytest.CaptureFixture[str], wait_until: Any
) -> None:
    @app.function()
    def talk() -> None:
        subprocess.run(["echo", "from a child"], check=True)

    call = talk.spawn()
    call.get()
    shown: list[str] = []

    def has_come() -> bool:
        shown.extend(capsys.readouterr())
        return "from a child" in "".join(shown)

    talk.remote()
    wait_until(has_come)


def test_prints_come_live_while_the_input_runs(
    app: modalnb.App, capsys: pytest.CaptureFixture[str], tmp_path: Any, wait_until: Any
) -> None:
    gate = str(tmp_path / "gate")

    @app.function()
    def talk() -> None:
        import os

        print("started")
        while not os.path.exists(gate):
            threading.Event().wait(0.01)

    thread = threading.Thread(target=talk.remote)
    thread.start()
    shown: list[str] = []

    def has_started() -> bool:
        shown.append(capsys.readouterr().out)
        return "started" in "".join(shown)

    wait_until(has_started)
    open(gate, "w").close()
    thread.join()


def test_tags_name_function_and_container(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function()
    def talk() -> None:
        print("one\ntwo")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modalnb.config._values, "log_tags", True)
        talk.remote()
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("] ")[2] for line in lines] == ["one", "two"]
    assert lines[0].startswith("[talk ta-talk-")


def test_many_lines_never_block_user_code(
    app: modalnb.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.function()
    def talk() -> int:
        for n in range(5_000):
            print(n)
        return 5_000

    assert talk.remote() == 5_000
    lines = capsys.readouterr().out.splitlines()
    assert lines == [str(n) for n in range(5_000)]
