from __future__ import annotations

import json
from dataclasses import replace

from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import AppSnapshot, ContainerStats, PoolSnapshot

POOL = PoolSnapshot(
    pool_id="ap-1/f",
    app="app",
    function="f",
    taken_at=12.5,
    settings=AutoscalerSettings(max_containers=4),
    target_inputs=1,
    max_inputs=2,
    pending=3,
    running=3,
    containers=(
        ContainerStats(container_id="a", state="busy", running=2),
        ContainerStats(container_id="b", state="busy", running=1),
        ContainerStats(container_id="c", state="idle", idle_since=1.0),
        ContainerStats(container_id="d", state="booting"),
        ContainerStats(container_id="e", state="draining", running=1),
    ),
)


def test_demand_is_what_waits_and_what_runs() -> None:
    assert POOL.demand == 6


def test_count_takes_any_of_several_states() -> None:
    assert (POOL.count("busy"), POOL.count("booting", "draining"), POOL.count()) == (2, 2, 0)


def test_headroom_is_the_free_slots_of_containers_that_take_inputs() -> None:
    assert POOL.headroom == 3


def test_slot_of_a_batched_function_carries_a_batch() -> None:
    batched = replace(POOL, target_inputs=2, max_batch_size=4)
    assert (batched.capacity, batched.headroom) == (8, 6 + 7 + 8)


def test_container_that_is_used_once_has_one_slot() -> None:
    once = replace(POOL, target_inputs=2, single_use=True, containers=POOL.containers[2:])
    assert (once.capacity, once.headroom) == (1, 1)


def test_pool_survives_json() -> None:
    assert PoolSnapshot.from_dict(json.loads(json.dumps(POOL.to_dict()))) == POOL


def test_app_survives_json_and_finds_its_pools() -> None:
    app = AppSnapshot(app_id="ap-1", name="app", seq=7, taken_at=12.5, pools=(POOL,))
    again = AppSnapshot.from_dict(json.loads(json.dumps(app.to_dict())))
    assert again == app
    assert again.pool("f") == POOL
    assert again.pool("g") is None
