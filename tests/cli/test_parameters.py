"""Signatures as options: which values a function gets for which words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, Optional

import click
import pytest

from modalnb.cli.parameters import parse


def given(raw: Callable[..., Any], *words: str) -> Any:
    args, kwargs = parse(raw, "program", words)
    return raw(*args, **kwargs)


def test_simple_types_are_converted() -> None:
    def raw(a: str, b: int, c: float, d: Any, e: None) -> Any:
        return a, b, c, d, e

    del raw.__annotations__["e"]

    words = ("--a", "1", "--b", "1", "--c", "1", "--d", "1", "--e", "1")
    assert given(raw, *words) == ("1", 1, 1.0, "1", "1")


@pytest.mark.parametrize(("word", "value"), [("--keep-all", True), ("--no-keep-all", False)])
def test_bool_is_a_pair_of_flags(word: str, value: bool) -> None:
    def raw(keep_all: bool) -> bool:
        return keep_all

    assert given(raw, word) is value


def test_bool_without_default_is_required() -> None:
    def raw(keep: bool) -> bool:
        return keep

    with pytest.raises(click.MissingParameter):
        given(raw)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("2030-12-31", datetime(2030, 12, 31)),
        ("2030-12-31T23:59", datetime(2030, 12, 31, 23, 59)),
        ("2030-12-31 23:59:01+00:00", datetime(2030, 12, 31, 23, 59, 1, tzinfo=UTC)),
    ],
)
def test_datetime_is_read(word: str, value: datetime) -> None:
    def raw(when: datetime) -> datetime:
        return when

    assert given(raw, "--when", word) == value


def test_datetime_that_is_none_is_refused() -> None:
    def raw(when: datetime) -> datetime:
        return when

    with pytest.raises(click.BadParameter, match="write it as 2030-12-31"):
        given(raw, "--when", "tomorrow")


def test_optional_types_are_converted() -> None:
    def raw(a: Optional[int] = None, b: float | None = None, c: bool | None = None) -> Any:  # noqa: UP045
        return a, b, c

    assert given(raw) == (None, None, None)
    assert given(raw, "--a", "1", "--b", "2", "--no-c") == (1, 2.0, False)


def test_literal_is_a_choice() -> None:
    def raw(size: Literal["small", 3]) -> Any:
        return size

    assert given(raw, "--size", "3") == 3
    assert given(raw, "--size", "small") == "small"
    with pytest.raises(click.BadParameter, match="small"):
        given(raw, "--size", "large")


def test_defaults_reach_the_function_as_they_are() -> None:
    """A default of another type than the option's is not converted."""

    def raw(count: Any = 5, when: datetime = datetime.max, flag: bool = True) -> Any:
        return count, when, flag

    del raw.__annotations__["count"]

    assert given(raw) == (5, datetime.max, True)


def test_positional_only_and_keyword_parameters() -> None:
    def raw(a: int, b: int = 2, /, *, c: int, **rest: Any) -> Any:
        return a, b, c, rest

    assert given(raw, "--c", "3", "--a", "1") == (1, 2, 3, {})


def test_lone_arglist_gets_raw_words() -> None:
    def raw(*words: str) -> Any:
        return words

    assert given(raw, "--help", "-x", "1") == ("--help", "-x", "1")


def test_arglist_beside_others_is_refused() -> None:
    def raw(a: int, *words: str) -> Any:
        return a, words

    with pytest.raises(click.UsageError, match=r"`\*words` of `raw` must be its only parameter"):
        given(raw)


@pytest.mark.parametrize(
    "hint", [list[int], dict, int | str, Literal[1, "1"], Literal[True], Callable[[], int], object]
)
def test_other_annotations_are_refused(hint: Any) -> None:
    def raw(x: Any) -> Any:
        return x

    raw.__annotations__["x"] = hint
    with pytest.raises(click.UsageError, match="`x` of `raw` has the unparseable annotation"):
        given(raw, "--x", "1")


def test_annotation_that_means_nothing_is_refused() -> None:
    def raw(x: Any) -> Any:
        return x

    raw.__annotations__["x"] = "Missing"
    with pytest.raises(click.UsageError, match="unparseable annotation: NameError"):
        given(raw)


def test_generator_function_is_refused() -> None:
    def raw() -> Any:
        yield 1

    with pytest.raises(click.UsageError, match="`raw` is a generator function"):
        given(raw)
