"""Times and sizes: how a pool follows its load and its settings."""

from __future__ import annotations

import pytest

from tests.core.scenario import Scenario
from tests.core.world import settings


def test_burst_starts_a_container_for_each_input_and_they_age_out() -> None:
    scenario = Scenario(settings(window=10), service=2.0)
    scenario.at(1.0, lambda: scenario.put(4))
    # Served at 3.5, so 13.5 is the end.
    assert scenario.sizes(0.9, 1.0, 3.6, 13.4, 13.5) == [0, 4, 4, 4, 0]


def test_containers_of_different_ages_leave_at_different_times() -> None:
    scenario = Scenario(settings(window=10), service=1.0)
    scenario.at(0.0, lambda: scenario.put(2))
    scenario.at(0.0, lambda: scenario.put(1))
    scenario.at(5.0, lambda: scenario.put(2))
    # The two that were used again at 5 stay until 16; the third leaves 10 s after 1.5.
    assert scenario.sizes(0.0, 11.4, 11.6, 15.9, 16.1) == [3, 3, 2, 2, 0]


@pytest.mark.parametrize("callers", [1, 3, 5])
def test_constant_load_gives_a_constant_count_after_settling(callers: int) -> None:
    scenario = Scenario(settings(window=2), boot=0.1)
    for n in range(callers):
        scenario.at(0.07 * n, scenario.loop)
    settled = scenario.sizes(20.0)
    assert settled == [callers]
    assert set(scenario.sizes(*(20.0 + 0.3 * n for n in range(200)))) == {callers}
    assert len(scenario.started_at) == callers


def test_load_that_outruns_the_maximum_waits_for_a_slot() -> None:
    scenario = Scenario(settings(most=2, window=5), boot=0.0)
    scenario.at(0.0, lambda: scenario.put(10))
    assert scenario.sizes(0.0, 4.9, 9.9, 10.1) == [2, 2, 2, 0]
    assert scenario.world.statuses("call-1") == ["ok"] * 10


def test_minimum_is_there_from_the_start_and_without_any_input() -> None:
    assert Scenario(settings(least=2, window=1)).sizes(0.0, 1.0, 100.0) == [2, 2, 2]


def test_raised_minimum_starts_at_once_and_a_lowered_one_ages_out() -> None:
    scenario = Scenario(settings(window=3))
    scenario.at(1.25, lambda: scenario.configure(settings(least=3, window=3)))
    scenario.at(20.25, lambda: scenario.configure(settings(window=3)))
    assert scenario.sizes(1.2, 1.25, 20.2, 20.25) == [0, 3, 3, 0]


def test_lowered_maximum_drains_the_surplus_but_lets_inputs_end() -> None:
    scenario = Scenario(settings(window=60), service=10.0)
    scenario.at(0.0, lambda: scenario.put(4))
    scenario.at(5.25, lambda: scenario.configure(settings(most=1, window=60)))
    assert scenario.sizes(5.2, 5.25) == [4, 1]
    assert len(scenario.world.containers) == 4
    assert scenario.sizes(10.6) == [1]
    assert len(scenario.world.containers) == 1
    assert scenario.world.statuses("call-1") == ["ok"] * 4
    assert len(scenario.world.deliveries) == 4


def test_buffer_stands_by_only_while_the_function_is_active() -> None:
    scenario = Scenario(settings(buffer=2, window=4), service=3.0)
    scenario.at(1.25, scenario.put)
    # The input ends at 4.75; demand was last seen at the look at 4.0 or when it ended.
    assert scenario.sizes(1.2, 1.25, 4.7, 7.5, 10.0) == [0, 3, 3, 2, 0]


def test_short_inputs_do_not_start_a_crowd() -> None:
    scenario = Scenario(settings(), boot=0.5, service=0.004)
    scenario.at(0.0, scenario.put)
    scenario.at(2.0, lambda: scenario.put(100))
    assert scenario.sizes(1.9, 3.0) == [1, 1]
    assert scenario.world.statuses("call-2") == ["ok"] * 100
    # A thousand would keep it busy for longer than a new one takes to start.
    scenario.at(4.0, lambda: scenario.put(1000))
    assert scenario.sizes(4.0) == [8]


def test_failed_starts_are_tried_again_with_growing_delays() -> None:
    scenario = Scenario(settings(least=1), boot=0.1)
    scenario.is_broken = True
    scenario.sizes(12.0)
    started = [round(time, 3) for time in scenario.started_at]
    assert started == [0.0, 0.6, 1.7, 3.8, 7.9]
    scenario.is_broken = False
    assert scenario.sizes(17.0) == [1]
    assert len(scenario.started_at) == 6


def test_target_inputs_plans_and_maximum_inputs_bridges() -> None:
    scenario = Scenario(settings(), boot=2.0, service=5.0, max_inputs=4, target_inputs=2)
    scenario.at(0.0, lambda: scenario.put(2))
    assert scenario.sizes(0.0, 2.0) == [1, 1]
    # Two more than planned run at once in the first container, and want a second one.
    scenario.at(3.25, lambda: scenario.put(2))
    assert scenario.sizes(3.25) == [2]
    assert len(next(iter(scenario.world.containers.values())).executing) == 4


def test_room_of_the_cluster_caps_even_the_minimum() -> None:
    assert Scenario(settings(least=5), room=3).sizes(0.0, 5.0) == [3, 3]
