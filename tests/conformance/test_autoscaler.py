"""``function.autoscaler``, beside ``update_autoscaler``: None takes a setting back."""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from typing import Any

import pytest

import modalnb
from modalnb.exception import InvalidError


@pytest.fixture
def work(app: modalnb.App) -> modalnb.Function:
    @app.function(max_containers=4, buffer_containers=1, scaledown_window=30)
    def work() -> None: ...

    return work


def test_settings_are_those_in_force(work: modalnb.Function) -> None:
    assert astuple(work.autoscaler.settings()) == (0, 4, 1, 30)
    work.update_autoscaler(max_containers=2)
    assert astuple(work.autoscaler.settings()) == (0, 2, 1, 30)


def test_update_keeps_what_is_omitted_and_resets_what_is_none(work: modalnb.Function) -> None:
    assert astuple(work.autoscaler.update(scaledown_window=5)) == (0, 4, 1, 5)
    changed = work.autoscaler.update(max_containers=None, buffer_containers=None)
    assert astuple(changed) == (0, None, 0, 5)
    assert work.snapshot().settings.max_containers is None
    assert astuple(work.autoscaler.update(scaledown_window=None)) == (0, None, 0, 60)


@pytest.mark.parametrize(
    "values",
    [
        {"min_containers": -1},
        {"max_containers": 0},
        {"max_containers": True},
        {"buffer_containers": 1.5},
        {"scaledown_window": 3601},
        {"min_containers": 5},
    ],
)
def test_values_out_of_range_are_refused(work: modalnb.Function, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        work.autoscaler.update(**values)
    assert astuple(work.autoscaler.settings()) == (0, 4, 1, 30)


def test_twins_of_both(work: modalnb.Function) -> None:
    async def main() -> tuple[Any, Any]:
        with pytest.raises(InvalidError, match=r"settings\.aio"):
            work.autoscaler.settings()
        changed = await work.autoscaler.update.aio(max_containers=None)
        return changed, await work.autoscaler.settings.aio()

    changed, seen = asyncio.run(main())
    assert changed == seen
    assert seen.max_containers is None
