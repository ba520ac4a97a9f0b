"""A service runs the hooks of a class in order, once, and gives out its methods."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from modalnb.exception import ExecutionError
from modalnb.runtime.service import Service
from modalnb.variants import Variant


class Recorder:
    """A class as a user would write it."""

    size = "small"

    def load(self) -> None:
        self.story = [f"load {self.size}"]

    async def connect(self) -> None:
        await asyncio.sleep(0)
        self.story.append("connect")

    def tell(self) -> list[str]:
        return self.story

    def close(self) -> None:
        self.story.append("close")

    async def disconnect(self) -> None:
        self.story.append("disconnect")

    def fail(self) -> None:
        raise ValueError("cannot")

    async def fail_async(self) -> None:
        raise ValueError("cannot async")


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_enter_hooks_run_in_order_with_the_parameters_set() -> None:
    service = Service(Recorder, enter=("load", "connect"))
    service.start(Variant(parameters=(("size", "large"),)), run_async)
    assert service.method("tell")() == ["load large", "connect"]


def test_without_a_variant_the_class_is_as_declared() -> None:
    service = Service(Recorder, enter=("load",))
    service.start(None, run_async)
    assert service.method("tell")() == ["load small"]


@pytest.mark.parametrize("hook", ["fail", "fail_async"])
def test_failure_of_an_enter_hook_goes_through_and_ends_the_start(hook: str) -> None:
    service = Service(Recorder, enter=("load", hook, "connect"))
    with pytest.raises(ValueError, match="cannot"):
        service.start(None, run_async)
    assert service.instance.story == ["load small"]


def test_exit_hooks_all_run_and_failures_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(Recorder, enter=("load",), exit=("fail", "close", "fail_async", "disconnect"))
    service.start(None, run_async)
    service.stop(run_async)
    assert service.instance.story == ["load small", "close", "disconnect"]
    shown = capsys.readouterr().err
    assert "ValueError: cannot\n" in shown
    assert "ValueError: cannot async" in shown
    assert "service.py" not in shown.replace("test_service.py", "")


def test_method_that_is_gone_is_named() -> None:
    service = Service(Recorder)
    service.start(None, run_async)
    with pytest.raises(ExecutionError, match="Class `Recorder` has no method `predict` any more"):
        service.method("predict")


def test_method_is_the_users_own_whatever_the_handle_put_into_the_instance() -> None:
    class Equipper:
        def _equip(self, instance: Any, variant: Variant) -> None:
            instance.tell = lambda: "equipped"

    service = Service(Recorder, enter=("load",), handle=Equipper())
    service.start(None, run_async)
    assert service.instance.tell() == "equipped"
    assert service.method("tell")() == ["load small"]


def test_service_for_another_handle_has_the_same_hooks_and_no_instance() -> None:
    first = Service(Recorder, enter=("load",), exit=("close",))
    first.start(None, run_async)
    second = first.with_handle(None)
    assert second.instance is None
    second.start(None, run_async)
    assert second.instance is not first.instance
