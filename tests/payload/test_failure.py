"""Exceptions come back as what they were."""

from __future__ import annotations

import subprocess
import traceback
from typing import Any

import pytest

from modalnb.payload import failure


def _round_trip(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return failure.rebuild(failure.describe(caught))


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (SystemExit(3), {"code": 3}),
        (FileNotFoundError(2, "no", "path"), {"errno": 2, "strerror": "no", "filename": "path"}),
        (UnicodeDecodeError("utf8", b"ab", 0, 1, "bad"), {"reason": "bad", "object": b"ab"}),
        (StopIteration(4), {"value": 4}),
        (KeyError("a"), {"args": ("a",)}),
        (subprocess.CalledProcessError(1, ["a"]), {"returncode": 1, "cmd": ["a"]}),
    ],
)
def test_exception_keeps_type_and_attributes(error: BaseException, facts: dict[str, Any]) -> None:
    again = _round_trip(error)
    assert type(again) is type(error)
    for name, value in facts.items():
        assert getattr(again, name) == value


def test_notes_and_own_attributes_are_kept() -> None:
    error = ValueError("bad")
    error.add_note("look here")
    error.hint = 7  # type: ignore[attr-defined]
    again = _round_trip(error)
    assert again.__notes__ == ["look here"]
    assert again.hint == 7  # type: ignore[attr-defined]


def test_cause_and_its_frames_are_kept() -> None:
    def inner() -> None:
        raise KeyError("first")

    try:
        try:
            inner()
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as caught:
        again = failure.rebuild(failure.describe(caught))
    assert isinstance(again.__cause__, KeyError)
    names = [frame.name for frame in traceback.extract_tb(again.__cause__.__traceback__)]
    assert names[-1] == "inner"


def test_frames_of_ours_are_left_out() -> None:
    def users() -> None:
        raise ValueError("here")

    try:
        users()
    except ValueError as caught:
        trace = failure.without_ours(caught.__traceback__)
    assert trace is not None
    assert failure.is_ours(failure.__file__)
    assert not failure.is_ours(__file__)
