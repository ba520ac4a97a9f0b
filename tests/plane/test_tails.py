"""The last lines of containers: by container, pool and call, numbered, within fixed bounds."""

from __future__ import annotations

from modalnb.plane import tails
from modalnb.plane.tails import Tails


def _texts(lines: list[tails.Printed]) -> list[str]:
    return [line[-1] for line in lines]


def test_lines_are_found_by_container_pool_and_call_in_the_order_of_printing() -> None:
    kept = Tails()
    kept.add("one", "a/f", [("call-1", "stdout", "a"), ("call-2", "stderr", "b")])
    kept.add("two", "a/g", [("call-1", "stdout", "c")])
    kept.add("one", "a/f", [(None, "stdout", "d")])
    assert _texts(kept.last(9)) == ["a", "b", "c", "d"]
    assert _texts(kept.last(9, container_id="one")) == ["a", "b", "d"]
    assert _texts(kept.last(9, pool_id="a/g")) == ["c"]
    assert _texts(kept.last(9, call_id="call-1")) == ["a", "c"]
    assert kept.last(1, call_id="call-2") == [(2, "one", "a/f", "call-2", "stderr", "b")]


def test_last_takes_the_newest_and_since_only_newer_ones() -> None:
    kept = Tails()
    kept.add("one", "a/f", [(None, "stdout", str(n)) for n in range(10)])
    assert _texts(kept.last(2)) == ["8", "9"]
    assert _texts(kept.last(0)) == []
    assert _texts(kept.last(9, since=8)) == ["8", "9"]
    assert kept.last(9, container_id="unknown") == []


def test_last_words_of_a_container_that_is_gone_belong_to_its_pool() -> None:
    kept = Tails()
    kept.add("one", "a/f", [("call", "stdout", "alive")])
    kept.add("one", "", [(None, "stderr", "Fatal Python error")])
    assert _texts(kept.last(9, pool_id="a/f")) == ["alive", "Fatal Python error"]


def test_old_lines_make_room_for_new_ones() -> None:
    kept = Tails()
    line = "x" * (tails.MAX_CHARS // 4)
    kept.add("one", "a/f", [(None, "stdout", f"{n}{line}") for n in range(10)])
    assert [text[0] for text in _texts(kept.last(99))] == ["7", "8", "9"]


def test_one_huge_line_is_cut_to_its_end() -> None:
    kept = Tails()
    kept.add("one", "a/f", [(None, "stdout", "y" * tails.MAX_CHARS + "end")])
    [text] = _texts(kept.last(9))
    assert len(text) == tails.MAX_CHARS
    assert text.endswith("end")


def test_silent_containers_are_forgotten_first() -> None:
    kept = Tails()
    for n in range(tails.MAX_CONTAINERS):
        kept.add(str(n), "a/f", [(None, "stdout", str(n))])
    kept.add("0", "a/f", [(None, "stdout", "again")])
    kept.add("new", "a/f", [(None, "stdout", "new")])
    assert kept.last(9, container_id="1") == []
    assert _texts(kept.last(9, container_id="0")) == ["0", "again"]
