"""Exceptions: modalnb's own, and those of user code on their way back."""

from __future__ import annotations

import asyncio
import builtins
import os
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest

import modalnb
from modalnb import exception
from modalnb.exception import ExecutionError, InvalidError, SerializationError


class OwnError(Exception):
    def __init__(self, code: int, *, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail

    def __reduce__(self) -> Any:
        return _make_own, (self.code, self.detail)


def _make_own(code: int, detail: str) -> OwnError:
    return OwnError(code, detail=detail)


# -- the tree ------------------------------------------------------------------------------


def test_tree_is_modals_and_kind_to_builtin_names() -> None:
    own = [value for value in vars(exception).values() if isinstance(value, type)]
    errors = [
        kind
        for kind in own
        if issubclass(kind, Exception) and kind.__module__ == exception.__name__
    ]
    for kind in errors:
        assert issubclass(kind, exception.Error | Warning), kind
    assert issubclass(exception.TimeoutError, builtins.TimeoutError)
    assert issubclass(exception.FunctionTimeoutError, exception.TimeoutError)
    assert issubclass(exception.OutputExpiredError, exception.TimeoutError)
    assert issubclass(exception.ConnectionError, builtins.ConnectionError)
    assert issubclass(exception.InputCancelledError, exception.RemoteError)
    assert issubclass(exception.ContainerLostError, exception.RemoteError)
    assert not issubclass(exception.InputCancellation, Exception)
    assert not hasattr(modalnb, "errors")


# -- user code -----------------------------------------------------------------------------


@pytest.fixture
def fail(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=1)
    def fail(error: BaseException) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 1),
        KeyError("key"),
        OSError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        OwnError(7, detail="more"),
        exception.NotFoundError("modalnb's own"),
        builtins.TimeoutError("the user's"),
        ExceptionGroup("several", [ValueError(1), KeyError(2)]),
        SystemExit(3),
        StopIteration(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exception_comes_back_as_itself(fail: modalnb.Function, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        fail.remote(error)
    assert type(caught.value) is type(error)
    assert repr(caught.value) == repr(error)
    assert str(caught.value) == str(error)
    if isinstance(error, OwnError):
        assert vars(caught.value) == vars(error)


def test_notes_causes_and_contexts_come_along(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def fail() -> None:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise LookupError("second")  # noqa: B904
        except LookupError as error:
            third = ValueError("third")
            third.add_note("a note")
            raise third from error

    with pytest.raises(ValueError, match="third") as caught:
        fail.remote()
    assert caught.value.__notes__ == ["a note"]
    assert isinstance(caught.value.__cause__, LookupError)
    assert isinstance(caught.value.__cause__.__context__, KeyError)


def test_frames_are_those_of_user_code_with_their_lines(app: modalnb.App) -> None:
    def deepest() -> None:
        raise ValueError("deep")  # the line

    @app.function(max_containers=1)
    def fail() -> None:
        deepest()

    def from_remote() -> None:
        fail.remote()

    def from_map() -> None:
        list(fail.starmap([()]))

    def from_get() -> None:
        fail.spawn().get()

    def from_aio() -> None:
        asyncio.run(fail.remote.aio())

    for call in (from_remote, from_map, from_get, from_aio):
        with pytest.raises(ValueError, match="deep") as caught:
            call()
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert [frame.name for frame in frames[-2:]] == ["fail", "deepest"]
        assert frames[-1].line == 'raise ValueError("deep")  # the line'
        assert call.__name__ in [frame.name for frame in frames]
        runtime = os.path.join("modalnb", "runtime")
        assert not [frame for frame in frames if runtime in frame.filename]


def test_raised_exceptions_do_not_pile_up_frames(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def fail() -> None:
        raise ValueError("again")

    call = fail.spawn()
    lengths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="again") as caught:
            call.get()
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(lengths)) == 1


def test_class_that_cannot_be_imported_here_is_told_with_the_remote_traceback(
    app: modalnb.App, tmp_path: Path
) -> None:
    (tmp_path / "only_there.py").write_text("class ThereError(Exception):\n    pass\n")
    folder = str(tmp_path)

    @app.function(max_containers=1)
    def fail() -> None:
        sys.path.insert(0, folder)
        import only_there  # type: ignore[import-not-found]

        raise only_there.ThereError("from there")

    with pytest.raises(ExecutionError) as caught:
        fail.remote()
    assert "cannot be rebuilt here" in str(caught.value)
    assert "only_there" in str(caught.value)
    assert "ThereError: from there" in str(caught.value)
    assert "raise only_there.ThereError" in str(caught.value)


def test_result_of_a_module_that_is_missing_here_names_it(app: modalnb.App, tmp_path: Path) -> None:
    (tmp_path / "only_remote.py").write_text("class Thing:\n    pass\n")
    folder = str(tmp_path)

    @app.function(max_containers=1)
    def make() -> Any:
        sys.path.insert(0, folder)
        import only_remote  # type: ignore[import-not-found]

        return only_remote.Thing()

    with pytest.raises(exception.DeserializationError, match="only_remote"):
        make.remote()


def test_unpicklable_exception_carries_its_text(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def fail() -> None:
        error = ValueError("bad")
        error.frame = sys._getframe()  # type: ignore[attr-defined]
        raise error

    with pytest.raises(SerializationError, match="ValueError: bad"):
        fail.remote()


def test_function_that_returns_what_has_still_to_run_is_refused(app: modalnb.App) -> None:
    async def later() -> int:
        return 1

    @app.function(max_containers=1)
    def coroutine() -> Any:
        return later()

    @app.function(max_containers=1)
    def generator() -> Any:
        return (x for x in range(3))

    with pytest.raises(InvalidError, match=r"returned a coroutine.*async def"):
        coroutine.remote()
    with pytest.raises(InvalidError, match=r"returned a generator.*is_generator=True"):
        generator.remote()


def test_system_exit_is_a_failure_of_its_input_alone(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def work(leaves: bool) -> int:
        if leaves:
            sys.exit("bye")
        return os.getpid()

    pid = work.remote(False)
    with pytest.raises(SystemExit, match="bye"):
        work.remote(True)
    assert work.remote(False) == pid


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("is_async", [False, True])
def test_interrupt_in_user_code_shuts_its_container_down(
    app: modalnb.App, wait_until: Any, kind: type[BaseException], is_async: bool
) -> None:
    """Its input has failed, and nobody else is harmed."""

    def plain(leaves: bool) -> int:
        if leaves:
            raise kind("enough")
        return os.getpid()

    async def later(leaves: bool) -> int:
        return plain(leaves)

    work = app.function(max_containers=1, name="work")(later if is_async else plain)
    pid = work.remote(False)
    with pytest.raises(kind, match="enough"):
        work.remote(True)
    assert work.remote(False) != pid


def test_exceptions_inside_of_containers_are_caught_as_themselves(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def inner() -> None:
        raise OwnError(7)

    @app.function(max_containers=1)
    def outer() -> int:
        try:
            inner.remote()
        except OwnError as error:
            return error.code
        return 0

    assert outer.remote() == 7


def test_exception_of_the_entry_script_is_caught_by_its_class(tmp_path: Path) -> None:
    """What a script defines is pickled by value, and is its own class all the same."""
    import subprocess

    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(
            """
            import modalnb as modal
            app = modal.App()

            class Mine(Exception):
                pass

            @app.function()
            def fail():
                raise Mine("here")

            try:
                fail.remote()
            except Mine as error:
                print("caught", error)
            """
        )
    )
    root = str(Path(modalnb.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "caught here" in done.stdout, done.stderr
