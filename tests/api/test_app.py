"""Declaring: what decorators accept and refuse, without any engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import modalnb
from modalnb.exception import ExecutionError, InvalidError, UnsupportedWarning


def _f(x: int = 0) -> int:
    return x


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min_containers": -1}, "`min_containers` must be at least 0; got -1."),
        ({"min_containers": True}, "`min_containers` must be an int; got True."),
        ({"min_containers": 1.5}, "`min_containers` must be an int; got 1.5."),
        ({"max_containers": -1}, "`max_containers` must be at least 1; got -1."),
        ({"max_containers": "2"}, "`max_containers` must be an int; got '2'."),
        ({"buffer_containers": -1}, "`buffer_containers` must be at least 0; got -1."),
        ({"scaledown_window": 3601}, "`scaledown_window` must be between 0 and 3600 seconds"),
        ({"scaledown_window": float("nan")}, "`scaledown_window` must be between 0 and 3600"),
        ({"scaledown_window": "60"}, "`scaledown_window` must be a number of seconds; got '60'."),
        (
            {"min_containers": 3, "max_containers": 2},
            "`min_containers` (3) cannot be greater than `max_containers` (2)",
        ),
        ({"cpu": 0}, "`cpu` must be above 0 cores; got 0."),
        ({"name": "a.b"}, "`name` must be a str without '.', '/', '(' and '['; got 'a.b'."),
        ({"keep_warm": 1}, "`keep_warm` is now `min_containers`."),
        ({"concurrency_limit": 1}, "`concurrency_limit` is now `max_containers`."),
        ({"container_idle_timeout": 1}, "`container_idle_timeout` is now `scaledown_window`."),
        ({"allow_concurrent_inputs": 1}, "`allow_concurrent_inputs` is now `@modal.concurrent`."),
    ],
)
def test_wrong_parameter_is_refused_at_decoration(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        modalnb.App().function(**options)(_f)
    assert text in str(caught.value)


def test_document_decorator_is_accepted_as_written() -> None:
    app = modalnb.App("my-app")

    @app.function(
        max_containers=100,
        min_containers=2,
        buffer_containers=5,
        scaledown_window=300,
    )
    def handle_request(data: Any) -> None: ...

    settings = handle_request._settings.autoscaler
    assert (settings.max_containers, settings.min_containers) == (100, 2)
    assert (settings.buffer_containers, settings.scaledown_window) == (5, 300)


def test_defaults_are_those_of_the_document() -> None:
    settings = modalnb.App().function()(_f)._settings.autoscaler
    assert settings.max_containers is None
    assert (settings.min_containers, settings.buffer_containers) == (0, 0)
    assert settings.scaledown_window == 60


def test_zero_maximum_means_no_limit() -> None:
    assert modalnb.App().function(max_containers=0)(_f)._settings.autoscaler.max_containers is None


def test_unknown_parameter_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_container'"):
        modalnb.App().function(max_container=1)


def test_parameters_without_effect_are_named_in_one_warning() -> None:
    with pytest.warns(UnsupportedWarning, match="`image`, `secrets` have no effect") as caught:
        modalnb.App().function(image="debian", secrets=["a"])(_f)
    assert len(caught) == 1


def test_decorator_without_parentheses_is_refused() -> None:
    with pytest.raises(InvalidError, match="with parentheses"):
        modalnb.App().function(_f)


def test_decorator_on_a_class_is_refused() -> None:
    with pytest.raises(TypeError, match=r"use `@app.cls\(\)` for the class `int`"):
        modalnb.App().function()(int)


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65])
def test_app_name_of_wrong_form_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="1 to 64 letters"):
        modalnb.App(name)


def test_app_name_of_wrong_type_is_refused() -> None:
    with pytest.raises(InvalidError, match="must be a str; got 7"):
        modalnb.App(7)  # type: ignore[arg-type]


def test_two_functions_of_one_name_warn_in_a_script() -> None:
    app = modalnb.App()
    app.function(name="f")(_f)
    with pytest.warns(UserWarning, match="'f' is defined twice"):
        app.function(name="f")(_f)


def test_two_entrypoints_of_one_name_are_refused() -> None:
    app = modalnb.App()
    app.local_entrypoint(name="main")(_f)
    with pytest.raises(InvalidError, match="entrypoint 'main' already"):
        app.local_entrypoint(name="main")(_f)


def test_include_takes_the_functions_of_another_app() -> None:
    one, two = modalnb.App("one"), modalnb.App("two")
    two.function(name="f")(_f)
    assert list(one.include(two).registered_functions) == ["f"]
    three = modalnb.App("three")
    three.function(name="f")(lambda: None)
    with pytest.raises(InvalidError, match="Both apps have a function 'f'"):
        one.include(three)


def test_reprs_say_what_and_how_without_an_engine() -> None:
    app = modalnb.App("my-app")
    function = app.function(name="f")(_f)
    assert repr(app) == "<App my-app: not running; f>"
    assert repr(function).startswith("<Function f of app my-app")
    assert repr(modalnb.Function.from_name("a", "f")) == "Function.from_name('a', 'f')"
    assert "my-app" in app._repr_html_()
    assert "f" in function._repr_html_()


def test_reprs_of_a_running_app_show_its_pools(app: modalnb.App) -> None:
    function = app.function(name="f")(_f)
    call = function.spawn(1)
    call.get()
    assert repr(app) == "<App test-app: running; f>"
    assert "1 idle" in repr(function) or "1 busy" in repr(function)
    for shown in (app, function, call):
        html = shown._repr_html_()
        assert html.count("<table") == 1
        assert "http" not in html


def test_snapshot_of_an_app_that_does_not_run_is_refused() -> None:
    with pytest.raises(ExecutionError, match="not running"):
        modalnb.App().snapshot()


def test_async_run_of_an_app(engine: None) -> None:
    app = modalnb.App("async-app")
    function = app.function(name="f")(_f)

    async def main() -> int:
        async with app.run():
            result = int(await function.remote.aio(5))
        return result

    assert asyncio.run(main()) == 5
    assert not app.is_running


def test_config_refuses_unknown_and_wrong_values() -> None:
    with pytest.raises(InvalidError, match="no setting 'max_wait'"):
        modalnb.config.max_wait = 3
    with pytest.raises(InvalidError, match=r"must be at least 0; got -1"):
        modalnb.config.max_throttle_wait = -1
    with pytest.raises(InvalidError, match="must be a bool; got 1"):
        modalnb.config.progress = 1
