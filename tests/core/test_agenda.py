from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modalnb.core.agenda import SLACK, Agenda


def taken(agenda: Agenda, now: float) -> list[object]:
    return [thing for _, thing in agenda.due(now)]


def test_due_comes_in_the_order_of_times_and_then_of_notes() -> None:
    agenda = Agenda()
    for at, thing in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "d")):
        agenda.add(at, "retry", thing)
    assert agenda.next_at == 1.0
    assert taken(agenda, 0.5) == []
    assert taken(agenda, 2.0) == ["a", "b", "c"]
    assert (agenda.next_at, len(agenda)) == (3.0, 1)


def test_thing_has_one_time_for_each_matter() -> None:
    agenda = Agenda()
    agenda.add(1.0, "start", "a")
    agenda.add(5.0, "start", "a")
    agenda.add(2.0, "overdue", "a")
    assert list(agenda.due(4.0)) == [("overdue", "a")]
    agenda.add(3.0, "start", "a")
    assert list(agenda.due(9.0)) == [("start", "a")]
    assert (agenda.next_at, len(agenda)) == (None, 0)


def test_dropped_thing_does_not_come_and_may_be_noted_again() -> None:
    agenda = Agenda()
    agenda.add(1.0, "batch", "a")
    agenda.drop("batch", "a")
    agenda.drop("batch", "never there")
    assert ("batch", "a") not in agenda
    assert agenda.next_at is None
    agenda.add(2.0, "batch", "a")
    assert ("batch", "a") in agenda
    assert taken(agenda, 2.0) == ["a"]


def test_what_is_noted_meanwhile_comes_in_the_same_round_if_it_is_due() -> None:
    agenda = Agenda()
    agenda.add(1.0, "retry", "first")
    seen = []
    for _, thing in agenda.due(2.0):
        seen.append(thing)
        if thing == "first":
            agenda.add(2.0, "retry", "second")
            agenda.add(2.1, "retry", "third")
    assert seen == ["first", "second"]


def test_dropped_and_moved_entries_take_no_memory() -> None:
    """Containers come and go all day; each has a limit that lies hours ahead."""
    agenda = Agenda()
    for n in range(10_000):
        agenda.add(86_400.0 + n, "overdue", n)
        agenda.add(90_000.0, "batch", "moved")
        if n >= 10:
            agenda.drop("overdue", n - 10)
    assert len(agenda) == 11
    assert len(agenda._entries) <= 2 * len(agenda) + SLACK


Steps = st.lists(st.tuples(st.sampled_from("adt"), st.integers(0, 9), st.integers(0, 5)))


@given(Steps)
def test_agenda_agrees_with_a_plain_dict(steps: list[tuple[str, int, int]]) -> None:
    agenda, times, now = Agenda(), dict[int, float](), 0.0
    for what, seconds, thing in steps:
        if what == "a":
            times[thing] = now + seconds
            agenda.add(now + seconds, "retry", thing)
        elif what == "d":
            times.pop(thing, None)
            agenda.drop("retry", thing)
        else:
            now += seconds
            due = {thing for thing, at in times.items() if at <= now}
            assert {thing for _, thing in agenda.due(now)} == due
            times = {thing: at for thing, at in times.items() if thing not in due}
        assert agenda.matters() == {("retry", thing) for thing in times}
        assert agenda.next_at == min(times.values(), default=None)
