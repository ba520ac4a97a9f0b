"""Errors of user code come back as themselves; what cannot travel is named."""

from __future__ import annotations

import asyncio
import linecache
import os
import sys
import threading
import traceback
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError, SerializationError


class NotebookError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


def test_exception_of_a_class_defined_here_is_that_class(app: modalnb.App) -> None:
    @app.function()
    def fail() -> None:
        raise NotebookError(7, "seven")

    with pytest.raises(NotebookError) as caught:
        fail.remote()
    assert type(caught.value) is NotebookError
    assert caught.value.code == 7


def test_traceback_has_the_remote_frames_with_source_and_none_of_ours(app: modalnb.App) -> None:
    def deepest() -> None:
        raise ValueError("deep")

    @app.function()
    def fail() -> None:
        deepest()

    try:
        fail.remote()
    except ValueError as error:
        frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if os.sep + "modalnb" + os.sep + "runtime" in f.filename]
    assert [f.name for f in frames[-2:]] == ["fail", "deepest"]
    assert frames[-1].line == 'raise ValueError("deep")'
    assert not ours
    assert not any("payload" in f.filename for f in frames)


def test_traceback_shows_our_frames_when_asked(app: modalnb.App) -> None:
    @app.function()
    def fail() -> None:
        raise ValueError("deep")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODALNB_TRACEBACK", "1")
        try:
            fail.remote()
        except ValueError as error:
            names = [f.filename for f in traceback.extract_tb(error.__traceback__)]
    assert any("waiting.py" in name for name in names)


def test_cause_of_a_remote_exception_is_told(app: modalnb.App) -> None:
    @app.function()
    def fail() -> None:
        try:
            os.environ["MISSING"]
        except KeyError as error:
            raise ValueError("second") from error

    with pytest.raises(ValueError, match="second") as caught:
        fail.remote()
    shown = "".join(traceback.format_exception(caught.value))
    assert "KeyError: 'MISSING'" in shown


def test_unpicklable_argument_is_named_with_its_path(app: modalnb.App) -> None:
    @app.function()
    def use(x: Any) -> None:
        return None

    with pytest.raises(SerializationError) as caught:
        use.remote({"model": [1, threading.Lock()]})
    assert "['model'][1]" in str(caught.value)
    assert "_thread.lock" in str(caught.value)


def test_unpicklable_argument_in_a_map_is_raised_at_once(app: modalnb.App) -> None:
    @app.function()
    def use(x: Any) -> Any:
        return x

    with pytest.raises(SerializationError, match=r"_thread\.lock"):
        list(use.map([1, threading.Lock()]))


def test_unpicklable_result_is_named(app: modalnb.App) -> None:
    @app.function()
    def make() -> Any:
        return {"lock": threading.Lock()}

    with pytest.raises(SerializationError, match=r"result\['lock'\]"):
        make.remote()


def test_unpicklable_exception_is_told_as_text(app: modalnb.App) -> None:
    @app.function()
    def fail() -> None:
        error = ValueError("bad")
        error.lock = threading.Lock()  # type: ignore[attr-defined]
        raise error

    with pytest.raises(SerializationError) as caught:
        fail.remote()
    assert "exception.lock" in str(caught.value)
    assert "ValueError: bad" in str(caught.value)


def test_exception_that_cannot_be_rebuilt_is_told_as_text(app: modalnb.App) -> None:
    class Odd(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__("odd")

    @app.function()
    def fail() -> None:
        raise Odd(1, 2)

    with pytest.raises(modalnb.exception.ExecutionError, match="Odd: odd"):
        fail.remote()


def test_unpicklable_global_is_named_with_the_function(app: modalnb.App) -> None:
    lock = threading.Lock()

    @app.function()
    def use() -> bool:
        return lock.locked()

    with pytest.raises(SerializationError, match=r"`use`.* → lock"):
        use.remote()


def test_sys_exit_in_user_code_is_a_failure_of_the_input(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def leave(status: int) -> int:
        if status:
            sys.exit(status)
        return os.getpid()

    pid = leave.remote(0)
    with pytest.raises(SystemExit) as caught:
        leave.remote(3)
    assert caught.value.code == 3
    assert leave.remote(0) == pid


def test_os_exit_is_a_lost_container_with_its_status(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def leave() -> None:
        os._exit(3)

    with pytest.raises(modalnb.exception.ContainerLostError, match="exit status 3"):
        leave.remote()


def test_function_returning_a_coroutine_is_refused(app: modalnb.App) -> None:
    @app.function()
    def make() -> Any:
        return asyncio.sleep(0)

    with pytest.raises(InvalidError, match="returned a coroutine"):
        make.remote()


def test_missing_module_in_the_container_names_it(app: modalnb.App) -> None:
    @app.function()
    def use() -> None:
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        use.remote()


def test_wrong_arguments_are_the_functions_own_type_error(app: modalnb.App) -> None:
    @app.function()
    def one(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        one.remote()


def test_generator_function_is_refused(app: modalnb.App) -> None:
    @app.function()
    def count() -> Any:
        yield 1

    with pytest.raises(InvalidError, match="`count` is a generator"):
        count.remote()


def test_source_line_of_a_notebook_cell_is_shown(app: modalnb.App) -> None:
    """Cells are known to linecache under the file name that their code carries."""
    source = "def fail():\n    return 1 / 0  # in a cell\n"
    name = "<ipython-input-5-abc>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    function = app.function()(namespace["fail"])
    with pytest.raises(ZeroDivisionError) as caught:
        function.remote()
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == "return 1 / 0  # in a cell"
