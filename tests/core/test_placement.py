from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modalnb.core.placement import (
    MAX_PREFETCH,
    PREFETCH_SECONDS,
    SLOW_SECONDS,
    SlotIndex,
    prefetch_depth,
)


def index_of(**levels: int) -> SlotIndex[str]:
    index: SlotIndex[str] = SlotIndex()
    for name, level in levels.items():
        index.place(name, level)
    return index


def test_prefetch_depth_is_zero_until_measured_and_for_slow_inputs() -> None:
    assert prefetch_depth(None, 1) == 0
    assert prefetch_depth(SLOW_SECONDS * 1.01, 1) == 0


def test_prefetch_depth_bridges_the_round_trip() -> None:
    assert prefetch_depth(SLOW_SECONDS, 1) == 1
    assert prefetch_depth(PREFETCH_SECONDS / 4, 1) == 4
    assert prefetch_depth(PREFETCH_SECONDS / 3.5, 1) == 4
    assert prefetch_depth(0.0, 1) == MAX_PREFETCH
    assert prefetch_depth(1e-9, 1) == MAX_PREFETCH


def test_prefetch_depth_grows_with_the_slots_that_pass_inputs_at_once() -> None:
    assert prefetch_depth(PREFETCH_SECONDS, 10) == 10
    assert prefetch_depth(SLOW_SECONDS, 1_000) == MAX_PREFETCH
    assert prefetch_depth(SLOW_SECONDS * 1.01, 1_000) == 0


def test_choose_packs_the_fullest_below_the_target() -> None:
    assert index_of(empty=0, some=1, full=2).choose(2, 4, 0) == "some"


def test_choose_spreads_between_target_and_maximum() -> None:
    assert index_of(a=3, b=2, c=4).choose(2, 4, 0) == "b"


def test_choose_holds_inputs_ahead_evenly_when_all_slots_are_taken() -> None:
    index = index_of(a=6, b=5, c=7)
    assert index.choose(4, 4, 4) == "b"
    assert index.choose(4, 4, 0) is None


def test_choose_prefers_the_one_used_last_among_equals() -> None:
    index = index_of(a=1, b=1)
    assert index.choose(2, 2, 0) == "b"
    index.place("a", 0)
    index.place("a", 1)
    assert index.choose(2, 2, 0) == "a"


def test_remove_takes_out_once_and_forgives_twice() -> None:
    index = index_of(a=1)
    assert "a" in index
    index.remove("a")
    index.remove("a")
    assert ("a" in index, len(index), index.level("a")) == (False, 0, None)
    assert index.choose(9, 9, 9) is None


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 9)), max_size=60),
    st.integers(0, 10),
)
def test_slot_index_agrees_with_a_plain_dict(
    moves: list[tuple[str, int | None]], limit: int
) -> None:
    index: SlotIndex[str] = SlotIndex()
    plain: dict[str, int] = {}
    for name, level in moves:
        if level is None:
            index.remove(name)
            plain.pop(name, None)
        else:
            index.place(name, level)
            plain[name] = level
        assert len(index) == len(plain)
        assert index.level(name) == plain.get(name)
    below = [level for level in plain.values() if level < limit]
    fullest, emptiest = index.fullest_below(limit), index.emptiest_below(limit)
    assert (plain[fullest] if fullest else None) == max(below, default=None)
    assert (plain[emptiest] if emptiest else None) == min(below, default=None)
