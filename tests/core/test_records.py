from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from modalnb.core.pools import Pool, mean
from modalnb.core.records import LOSSES_BEFORE_SOLITUDE, Call, Container, Input
from modalnb.settings import FunctionSettings


def pool_of(max_inputs: int = 1) -> Pool:
    return Pool("a/f", FunctionSettings(max_inputs=max_inputs))


def call_of(pool: Pool, name: str, count: int) -> Call:
    call = Call(name, pool, "code", "alice", "live")
    pool.enqueue(call, [Input(call, n, b"", 0.0) for n in range(count)])
    return call


def taken(pool: Pool, count: int) -> list[tuple[str, int]]:
    items = [pool.take() for _ in range(count)]
    return [(item.call.id, item.index) for item in items]


def test_mean_starts_with_the_first_value_and_follows_the_newest() -> None:
    assert mean(None, 4.0) == 4.0
    assert 4.0 < mean(4.0, 8.0) < 8.0


def test_take_goes_round_the_calls_and_in_order_inside_each() -> None:
    pool = pool_of()
    for name, count in (("a", 3), ("b", 1), ("c", 2)):
        call_of(pool, name, count)
    assert taken(pool, 6) == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("c", 1), ("a", 2)]
    assert not pool.ready


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_take_is_fair_whatever_the_sizes(sizes: list[int]) -> None:
    pool = pool_of()
    for n, size in enumerate(sizes):
        call_of(pool, str(n), size)
    rounds = [
        (str(n), index)
        for index in range(max(sizes))
        for n, size in enumerate(sizes)
        if index < size
    ]
    assert taken(pool, sum(sizes)) == rounds


def test_enqueue_front_goes_before_the_others_of_its_call() -> None:
    pool = pool_of()
    call = call_of(pool, "a", 3)
    first, second = pool.take(), pool.take()
    pool.enqueue_front(second, 1.0)
    pool.enqueue_front(first, 1.0)
    assert pool.peek() is first
    assert taken(pool, 3) == [("a", 0), ("a", 1), ("a", 2)]
    assert call.waiting == 0


def test_enqueue_front_of_a_call_without_waiting_inputs_goes_first() -> None:
    pool = pool_of()
    call_of(pool, "a", 1)
    lost = pool.take()
    call_of(pool, "b", 1)
    pool.enqueue_front(lost, 1.0)
    assert taken(pool, 2) == [("a", 0), ("b", 0)]


def test_enqueue_nothing_does_not_queue_the_call() -> None:
    pool = pool_of()
    call_of(pool, "a", 0)
    assert not pool.ready


def test_drop_waiting_takes_front_and_fresh_inputs_in_order() -> None:
    pool = pool_of()
    call = call_of(pool, "a", 2)
    pool.enqueue_front(pool.take(), 1.0)
    pool.enqueue(call, [Input(call, 2, b"", 0.0)])
    other = call_of(pool, "b", 1)
    assert [item.index for item in pool.drop_waiting(call)] == [0, 1, 2]
    assert (pool.waiting, list(pool.ready)) == (1, [other])
    assert pool.drop_waiting(call) == []


def test_call_is_ended_only_when_closed_done_and_nothing_is_owed() -> None:
    call = Call("a", pool_of(), "code", "alice", "live")
    assert not call.is_ended
    call.closed = True
    assert call.is_ended
    call.owed = 1
    assert not call.is_ended
    call.admitted = 1
    assert not call.is_ended
    call.done = 1
    assert call.is_ended


def test_container_counts_what_runs_and_what_waits_in_it() -> None:
    container = Container("c", pool_of(max_inputs=2), 0.0)
    container.leases = dict.fromkeys(range(5))
    assert (container.running, container.prefetched) == (2, 3)
    assert container.waiting_leases() == [2, 3, 4]


def test_container_ceiling_says_what_it_may_hold() -> None:
    container = Container("c", pool_of(max_inputs=2), 0.0)
    assert container.ceiling == 0
    container.ready_at = 1.0
    assert container.ceiling == math.inf
    for name, ceiling in (("is_slow", 2), ("is_watched", 2), ("is_taken", 0), ("is_recalled", 0)):
        setattr(container, name, True)
        assert container.ceiling == ceiling
        setattr(container, name, False)
    container.draining = True
    assert container.ceiling == 0


def test_look_again_watches_suspects_and_cancelled_inputs() -> None:
    pool = pool_of()
    container = Container("c", pool, 0.0)
    container.is_watched = container.is_taken = True
    item = Input(call_of(pool, "a", 0), 0, b"", 0.0)
    item.losses = ("killed",) * LOSSES_BEFORE_SOLITUDE
    assert item.runs_alone
    container.leases = {1: None}
    container.look_again()
    assert (container.is_watched, container.is_taken) == (True, True)
    container.leases = {1: item}
    container.look_again()
    assert not container.is_watched
    container.leases = {}
    container.look_again()
    assert (container.is_watched, container.is_taken) == (False, False)
