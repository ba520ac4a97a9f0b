"""Wishes: the last counts, min and max push each other, and what is asked for is what comes."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modalnb.notebook.steering import MAX_UNDO, Undo, Wishes, pushed, update_values
from modalnb.settings import AutoscalerSettings, checked_override


@st.composite
def autoscalers(draw: Any) -> AutoscalerSettings:
    least = draw(st.integers(0, 9))
    return AutoscalerSettings(
        min_containers=least,
        max_containers=draw(st.one_of(st.none(), st.integers(max(1, least), 12))),
        buffer_containers=draw(st.integers(0, 3)),
        scaledown_window=draw(st.floats(0, 3600)),
    )


WISHES = st.one_of(
    st.tuples(st.just("min_containers"), st.integers(0, 20)),
    st.tuples(st.just("max_containers"), st.one_of(st.none(), st.integers(1, 20))),
    st.tuples(st.just("buffer_containers"), st.integers(0, 20)),
    st.tuples(st.just("scaledown_window"), st.floats(0, 3600)),
)


@given(autoscalers(), WISHES)
def test_every_wish_is_granted_and_only_the_other_limit_moves(
    settings: AutoscalerSettings, wish: tuple[str, Any]
) -> None:
    name, value = wish
    after = pushed(settings, name, value)
    assert getattr(after, name) == value
    partners = {"min_containers": "max_containers", "max_containers": "min_containers"}
    moved = {n for n, v in after.to_dict().items() if v != settings.to_dict()[n]}
    assert moved <= {name, partners.get(name, name)}


@given(autoscalers(), autoscalers())
def test_update_leads_from_any_settings_to_any_others(
    old: AutoscalerSettings, new: AutoscalerSettings
) -> None:
    values = update_values(old, new)
    assert old.with_override(checked_override(values)) == new
    assert bool(values) == (old != new)


def test_last_wish_for_a_name_counts_in_the_order_of_asking() -> None:
    wishes = Wishes()
    assert not wishes
    for name, value in (("min_containers", 1), ("max_containers", 3), ("min_containers", 2)):
        wishes.put(name, value)
    assert wishes
    assert list(wishes.take().items()) == [("max_containers", 3), ("min_containers", 2)]
    assert wishes.take() == {}


def test_wishes_of_many_threads_are_all_kept() -> None:
    wishes = Wishes()

    def ask(name: str) -> None:
        for value in range(500):
            wishes.put(name, value)

    threads = [threading.Thread(target=ask, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wishes.take() == {str(n): 499 for n in range(4)}


def test_undo_goes_back_step_by_step_for_each_pool() -> None:
    undo = Undo()
    for n in range(3):
        undo.note("a", AutoscalerSettings(min_containers=n))
        undo.note("b", AutoscalerSettings(buffer_containers=n))
    assert [undo.take("a"), undo.take("a")] == [
        AutoscalerSettings(min_containers=2),
        AutoscalerSettings(min_containers=1),
    ]
    assert undo.take("b") == AutoscalerSettings(buffer_containers=2)
    assert undo.take("c") is None


def test_undo_is_bounded() -> None:
    undo = Undo()
    for n in range(MAX_UNDO + 10):
        undo.note("a", AutoscalerSettings(min_containers=n))
    steps = 0
    while undo.take("a") is not None:
        steps += 1
    assert steps == MAX_UNDO
