"""Section 7: classes in real containers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import modalnb as modal
from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.exception import InvalidError

Pools = dict[str, int]


def _containers(app: modal.App) -> Pools:
    return {pool.function: len(pool.containers) for pool in app.snapshot().pools}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# -- life ----------------------------------------------------------------------------------


def test_enter_runs_once_in_each_container_before_its_first_input(app: modal.App) -> None:
    """Those with `snap` first, then in the order of definition, sync and async ones."""

    def declare() -> Any:
        @app.cls(enable_memory_snapshot=True)
        class Model:
            size: str = modal.parameter(default="small")

            @modal.enter()
            async def connect(self) -> None:
                await asyncio.sleep(0)
                self.story.append("connect")
                self.loop = asyncio.get_running_loop()

            @modal.enter()
            def load(self) -> None:
                self.story.append("load")

            @modal.enter(snap=True)
            def early(self) -> None:
                self.story = [f"early {self.size}"]

            @modal.method()
            def predict(self, x: int) -> Any:
                return self.story, x

            @modal.method()
            async def same_loop(self) -> bool:
                return asyncio.get_running_loop() is self.loop

        return Model

    with pytest.warns(UserWarning, match="enable_memory_snapshot"):
        model = declare()()
    story = ["early small", "connect", "load"]
    assert model.predict.remote(1) == (story, 1)
    assert list(model.predict.map(range(3))) == [(story, 0), (story, 1), (story, 2)]
    assert model.same_loop.remote()


def test_container_counts_as_warm_only_after_enter(
    app: modal.App, tmp_path: Path, wait_until: Any
) -> None:
    @app.cls()
    class Slow:
        @modal.enter()
        def load(self) -> None:
            (tmp_path / "entered").touch()
            while not (tmp_path / "go").exists():
                time.sleep(0.01)

        @modal.method()
        def predict(self) -> int:
            return 1

    slow: Any = Slow()
    call = slow.predict.spawn()
    wait_until((tmp_path / "entered").exists)
    pool = slow.snapshot()
    assert (pool.count("booting"), pool.pending, pool.running) == (1, 1, 0)
    (tmp_path / "go").touch()
    assert call.get(timeout=20) == 1


def test_exit_runs_at_scaledown_and_when_the_app_stops(
    app: modal.App, tmp_path: Path, wait_until: Any
) -> None:
    story = tmp_path / "story"

    @app.cls(scaledown_window=0.1)
    class Model:
        name: str = modal.parameter()

        def note(self, what: str) -> None:
            with story.open("a") as file:
                file.write(f"{what} {self.name}\n")

        @modal.method()
        def predict(self) -> None: ...

        @modal.exit()
        def fail(self) -> None:
            raise ValueError("an exit hook that fails")

        @modal.exit()
        async def disconnect(self) -> None:
            await asyncio.sleep(0)
            self.note("disconnect")

        @modal.exit()
        def close(self) -> None:
            time.sleep(0.3)
            self.note("close")

    model: Any = Model
    model(name="one").predict.remote()
    wait_until(lambda: _lines(story) == ["disconnect one", "close one"])
    two = model(name="two")
    two.update_autoscaler(scaledown_window=600)
    two.predict.remote()
    app.stop()
    wait_until(lambda: _lines(story)[2:] == ["disconnect two", "close two"])


def test_inputs_finish_before_exit(app: modal.App, tmp_path: Path, wait_until: Any) -> None:
    story = tmp_path / "story"

    @app.cls()
    class Model:
        @modal.method()
        def predict(self) -> str:
            story.write_text("begin\n")
            time.sleep(0.5)
            story.write_text("begin\nend\n")
            return "result"

        @modal.exit()
        def close(self) -> None:
            story.write_text(story.read_text() + "close\n")

    model: Any = Model()
    call = model.predict.spawn()
    wait_until(lambda: _lines(story) == ["begin"])
    (container,) = model.snapshot().containers
    ask(current.stub(), "drain", container_ids=[container.container_id])
    assert call.get(timeout=20) == "result"
    wait_until(lambda: _lines(story) == ["begin", "end", "close"])


def test_enter_that_fails_reaches_the_caller_after_three_starts(
    app: modal.App, tmp_path: Path
) -> None:
    """It is the container's failure: no retry of the input counts, all who wait hear of it."""
    starts = tmp_path / "starts"

    @app.cls(retries=5)
    class Broken:
        @modal.enter()
        def load(self) -> None:
            with starts.open("a") as file:
                file.write("start\n")
            raise ValueError("no weights")

        @modal.method()
        def predict(self, x: int) -> int:
            return x

    with pytest.raises(ValueError, match="no weights") as caught:
        Broken().predict.remote(1)
    frames = []
    trace = caught.value.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] == "load"
    assert len(_lines(starts)) == 3
    results = list(Broken().predict.map(range(3), return_exceptions=True))
    assert [str(result) for result in results] == ["no weights"] * 3


def test_enter_that_fails_in_a_deployed_app_is_tried_until_it_works(
    engine: None, tmp_path: Path, wait_until: Any
) -> None:
    app = modal.App("patient-app")

    @app.cls()
    class Late:
        @modal.enter()
        def load(self) -> None:
            with (tmp_path / "starts").open("a") as file:
                file.write("start\n")
            if not (tmp_path / "weights").exists():
                raise ValueError("no weights yet")

        @modal.method()
        def predict(self) -> int:
            return 1

    app.deploy()
    try:
        late: Any = modal.Cls.from_name("patient-app", "Late")()
        call = late.predict.spawn()
        wait_until(lambda: len(_lines(tmp_path / "starts")) > 3)
        pool = late.snapshot()
        assert (pool.pending, pool.boot_failures > 2) == (1, True)
        (tmp_path / "weights").touch()
        assert call.get(timeout=60) == 1
    finally:
        app.stop()


def test_what_enter_prints_is_shown_to_who_waits(
    app: modal.App, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.cls()
    class Model:
        @modal.enter()
        def load(self) -> None:
            print("loading weights")

        @modal.method()
        def predict(self) -> int:
            return 1

    assert Model().predict.remote() == 1
    assert capsys.readouterr().out == "loading weights\n"


# -- pools ---------------------------------------------------------------------------------


def test_pools_are_one_for_each_set_of_parameter_values(app: modal.App, wait_until: Any) -> None:
    @app.cls(max_containers=1)
    class Model:
        text: str = modal.parameter(default="a")
        number: int = modal.parameter(default=1)
        data: bytes = modal.parameter(default=b"\x00")
        flag: bool = modal.parameter(default=False)

        @modal.method()
        def get(self) -> Any:
            return os.getpid(), (self.text, self.number, self.data, self.flag)

        @modal.method()
        def pid(self) -> int:
            return os.getpid()

        @modal.method()
        async def apid(self) -> int:
            return os.getpid()

    model: Any = Model
    pid, values = model().get.remote()
    assert values == ("a", 1, b"\x00", False)
    # All methods share it, and instances with equal values, given or by default.
    assert {model(number=1).pid.remote(), model(text="a").apid.remote()} == {pid}
    other, values = model(data=b"x" * 300, flag=True).get.remote()
    assert other != pid
    assert values == ("a", 1, b"x" * 300, True)
    # Settings hold for each pool.
    big = model(number=2)
    assert sum(_containers(app).values()) == 2
    big.update_autoscaler(min_containers=1)
    wait_until(lambda: sum(_containers(app).values()) == 3)
    assert big.snapshot().settings.min_containers == 1
    assert model().snapshot().settings.min_containers == 0
    assert model().get_current_stats().num_total_runners == 1
    assert big.explain()


def test_all_methods_share_the_slots_of_their_instance(app: modal.App) -> None:
    @app.cls(max_containers=1)
    @modal.concurrent(max_inputs=4)
    class Model:
        @modal.enter()
        def load(self) -> None:
            self.meeting = threading.Barrier(4)

        @modal.method()
        def one(self) -> int:
            self.meeting.wait(20)
            return 1

        @modal.method()
        def two(self) -> int:
            self.meeting.wait(20)
            return 2

    calls = [method.spawn() for method in (Model().one, Model().two) * 2]
    assert [call.get(timeout=30) for call in calls] == [1, 2, 1, 2]


def test_batched_method_takes_the_inputs_of_many_callers(app: modal.App) -> None:
    @app.cls(max_containers=1)
    class Encoder:
        factor: int = modal.parameter(default=1)

        @modal.batched(max_batch_size=4, wait_ms=2000)
        def encode(self, xs: list[int], *, offset: list[int]) -> list[Any]:
            return [(self.factor * x + o, len(xs)) for x, o in zip(xs, offset, strict=True)]

    encoder: Any = Encoder
    encode = encoder(factor=10).encode
    assert list(encode.map(range(4), kwargs={"offset": 1})) == [(1, 4), (11, 4), (21, 4), (31, 4)]


# -- calls ---------------------------------------------------------------------------------


class Calculator:
    base: int = modal.parameter(default=10)

    @modal.method()
    def add(self, x: int, y: int = 0) -> int:
        return self.base + x + y

    @modal.method()
    async def aadd(self, x: int) -> int:
        return self.base + x

    @modal.method()
    def count(self, n: int) -> Any:
        yield from range(self.base, self.base + n)

    @modal.method()
    def fail(self, x: int) -> int:
        raise ValueError(f"no {x}")

    def plus_one(self, x: int) -> int:
        return self.base + x + 1

    @staticmethod
    def constant() -> int:
        return 5


def test_every_way_to_call_works_on_a_method(app: modal.App) -> None:
    calculator = app.cls(max_containers=1)(Calculator)()
    assert calculator.add.remote(1) == 11
    assert calculator.aadd.remote(1) == 11
    assert list(calculator.add.map([1, 2], [3, 4])) == [14, 16]
    assert list(calculator.add.starmap([(1, 1), (2, 2)])) == [12, 14]
    assert calculator.add.spawn(2).get() == 12
    assert sorted(calculator.aadd.spawn_map([1, 2]).iter()) == [11, 12]
    assert list(calculator.count.remote_gen(3)) == [10, 11, 12]
    with pytest.raises(ValueError, match="no 1"):
        calculator.fail.for_each([1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        calculator.add.remote(1, z=1)

    async def main() -> Any:
        return (
            await calculator.add.remote.aio(5),
            [x async for x in calculator.aadd.map.aio([1, 2])],
            [x async for x in calculator.count.remote_gen.aio(2)],
        )

    assert asyncio.run(main()) == (15, [11, 12], [10, 11])


def test_methods_call_those_of_their_instance_and_of_other_classes(app: modal.App) -> None:
    calculator = app.cls(max_containers=1)(Calculator)

    @app.cls(max_containers=1)
    @modal.concurrent(max_inputs=2)
    class Caller:
        @modal.method()
        def pid(self) -> int:
            return os.getpid()

        @modal.method()
        def own(self) -> bool:
            here, there = self.pid(), self.pid.remote()
            return bool(here == there == self.pid.local() == os.getpid())

        @modal.method()
        def other(self, x: int) -> list[int]:
            return [calculator(base=100).add.remote(x), *calculator().add.map([x])]

        @modal.method()
        def given(self, instance: Any) -> int:
            return int(instance.add.remote(1))

    caller = Caller()
    assert caller.own.remote()
    assert caller.other.remote(1) == [101, 11]
    assert caller.given.remote(calculator(base=7)) == 8


def test_local_in_a_container_runs_there(app: modal.App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modalnb.api.declaring.is_interactive", lambda: True)

    def define(version: int) -> Any:
        def helper() -> Any:
            return version, os.getpid()

        return app.function()(helper)

    helper, calculator = define(1), app.cls()(Calculator)

    @app.function(max_containers=1)
    def call() -> Any:
        ten = calculator()
        parts = ten.add.local(1), list(ten.count.local(2)), ten.plus_one(1), calculator.constant()
        return (*parts, helper.local(), os.getpid())

    *results, (version, there), here = call.remote()
    assert results == [11, [10, 11], 12, 5]
    assert (version, there) == (1, here)
    define(2)
    app.registered_functions["helper"].hydrate()
    assert call.remote()[-2:] == ((2, here), here)


# -- notebooks -----------------------------------------------------------------------------


def _version(app: modal.App, story: Path, number: int) -> Any:
    class Model:
        @modal.enter()
        def load(self) -> None:
            self.note("enter")

        def note(self, what: str) -> None:
            with story.open("a") as file:
                file.write(f"{what} {number}\n")

        @modal.method()
        def get(self, seconds: float = 0.0) -> Any:
            time.sleep(seconds)
            return number, os.getpid()

        @modal.exit()
        def close(self) -> None:
            self.note("exit")

    return app.cls(max_containers=1)(Model)


def test_redefined_class_gets_a_new_instance_in_the_warm_container(
    app: modal.App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modalnb.api.declaring.is_interactive", lambda: True)
    story = tmp_path / "story"
    _, pid = _version(app, story, 1)().get.remote()
    second = _version(app, story, 2)
    assert second().get.remote() == (2, pid)
    assert second().get.remote() == (2, pid)
    assert _lines(story) == ["enter 1", "exit 1", "enter 2"]


def test_redefined_class_is_never_started_again_for_older_calls(
    app: modal.App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs that run finish with the old code; all that follow run the new one."""
    monkeypatch.setattr("modalnb.api.declaring.is_interactive", lambda: True)
    story = tmp_path / "story"
    old = _version(app, story, 1)().get.map([0.05] * 20)
    first = next(old)
    second = _version(app, story, 2)()
    new = [second.get.remote()[0] for _ in range(3)]
    versions = [first[0], *(number for number, _ in old)]
    assert new == [2, 2, 2]
    assert versions == sorted(versions)
    assert versions[-1] == 2
    assert _lines(story) == ["enter 1", "exit 1", "enter 2"]


def test_redefined_class_that_fails_to_start_tells_its_caller_at_once(
    app: modal.App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modalnb.api.declaring.is_interactive", lambda: True)
    story = tmp_path / "story"
    _, pid = _version(app, story, 1)().get.remote()

    @app.cls(max_containers=1)
    class Model:
        @modal.enter()
        def load(self) -> None:
            raise ValueError("wrong cell")

        @modal.method()
        def get(self) -> Any: ...

    for _ in range(2):
        with pytest.raises(ValueError, match="wrong cell"):
            Model().get.remote()
    assert _version(app, story, 3)().get.remote() == (3, pid)
    assert _lines(story) == ["enter 1", "exit 1", "enter 3"]


def test_whatever_a_class_uses_may_change_between_calls(app: modal.App) -> None:
    rates = {"rate": 1}

    @app.cls(max_containers=1)
    class Model:
        @modal.enter()
        def load(self) -> None:
            self.rate = rates["rate"]

        @modal.method()
        def get(self) -> Any:
            return self.rate, os.getpid()

    rate, pid = Model().get.remote()
    assert rate == 1
    rates["rate"] = 2
    assert Model().get.remote() == (2, pid)


def test_wrong_use_of_an_instance_is_refused_at_once(app: modal.App) -> None:
    @app.cls(max_containers=2)
    class Model:
        @modal.method()
        def get(self) -> int:
            return 1

    model: Any = Model()
    with pytest.raises(InvalidError, match="`min_containers` must be at least 0; got -1"):
        model.update_autoscaler(min_containers=-1)
    with pytest.raises(InvalidError, match=r"cannot be greater than `max_containers` \(2\)"):
        model.update_autoscaler(min_containers=3)
