"""Section 7: what makes a class, and what is refused as soon as it is declared."""

from __future__ import annotations

import abc
import asyncio
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import pytest

import modalnb as modal
from modalnb.exception import (
    ExecutionError,
    InvalidError,
    NotFoundError,
    UnsupportedWarning,
)


def _declare(kind: type, **options: Any) -> modal.Cls:
    return modal.App().cls(**options)(kind)


class Plain:
    size: str = modal.parameter(default="small")

    @modal.method()
    def predict(self, x: int) -> str:
        return f"{self.size} {x}"

    @modal.method()
    def stream(self, n: int) -> Any:
        yield from range(n)

    def helper(self) -> str:
        return f"helper of {self.size}"

    @staticmethod
    def constant() -> int:
        return 7


# -- @app.cls ------------------------------------------------------------------------------


def test_cls_without_parentheses_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"write `@app.cls\(\)` with parentheses"):
        modal.App().cls(Plain)


def test_cls_on_a_function_is_a_type_error_that_names_app_function() -> None:
    with pytest.raises(TypeError, match=r"use `@app.function\(\)`"):
        _declare(lambda: None)  # type: ignore[arg-type]


def test_cls_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"`@app\.cls` is on `Plain` twice"):
        _declare(_declare(Plain))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["schedule", "name", "is_generator", "max_container"])
def test_cls_has_the_parameters_of_function_but_three(name: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        _declare(Plain, **{name: None})


def test_cls_checks_settings_as_function_does() -> None:
    with pytest.raises(InvalidError, match="`min_containers` must be an int; got True"):
        _declare(Plain, min_containers=True)
    with pytest.raises(InvalidError, match="`keep_warm` is now `min_containers`"):
        _declare(Plain, keep_warm=1)


def test_two_classes_of_one_name_warn_in_a_script() -> None:
    app = modal.App()
    app.cls()(Plain)
    with pytest.warns(UserWarning, match="Class 'Plain' is defined twice"):
        app.cls()(Plain)


def test_abstract_class_is_refused() -> None:
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def predict(self) -> None: ...

    with pytest.raises(InvalidError, match="Class `Abstract` is abstract"):
        _declare(Abstract)


def test_custom_constructor_is_refused() -> None:
    class Old:
        def __init__(self, size: int = 1) -> None:
            self.size = size

    with pytest.raises(InvalidError, match=r"constructor of its own.*`modal.parameter\(\)`"):
        _declare(Old)
    with pytest.raises(InvalidError, match="constructor of its own"):
        _declare(dataclasses.make_dataclass("Data", [("x", int)]))


# -- members -------------------------------------------------------------------------------


@pytest.mark.parametrize("decorator", [modal.method, modal.enter, modal.exit])
def test_member_decorator_without_parentheses_is_refused(decorator: Callable[..., Any]) -> None:
    with pytest.raises(InvalidError, match="with parentheses"):
        decorator(lambda self: None)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_static_and_class_methods_cannot_be_members(kind: Any) -> None:
    with pytest.raises(InvalidError, match="static or class method"):
        modal.method()(kind(lambda x: None))
    outside = type("A", (), {"f": kind(modal.method()(lambda x: None))})
    with pytest.raises(InvalidError, match="`f` of class `A` is marked for containers"):
        _declare(outside)


@pytest.mark.parametrize("hook", [modal.enter(), modal.exit()])
@pytest.mark.parametrize("interface", [modal.method(), modal.batched(max_batch_size=2, wait_ms=1)])
def test_one_function_cannot_be_interface_and_hook(interface: Any, hook: Any) -> None:
    def build(first: Any, second: Any) -> None:
        def f(self: Any) -> None: ...

        _declare(type("A", (), {"f": second(first(f))}))

    for order in ((interface, hook), (hook, interface)):
        with pytest.raises(InvalidError, match="both a method for callers and a hook"):
            build(*order)


def test_hook_with_arguments_is_refused() -> None:
    class Wrong:
        @modal.enter()
        def load(self, path: str) -> None: ...

    with pytest.raises(InvalidError, match=r"`load` of class `Wrong` is a hook.*'path'"):
        _declare(Wrong)


def test_snap_needs_enable_memory_snapshot() -> None:
    class Early:
        @modal.enter(snap=True)
        def load(self) -> None: ...

    with pytest.raises(InvalidError, match=r"needs `@app.cls\(enable_memory_snapshot=True\)`"):
        _declare(Early)
    with pytest.warns(UnsupportedWarning, match="`enable_memory_snapshot` has no effect"):
        _declare(Early, enable_memory_snapshot=True)
    with pytest.raises(InvalidError, match="`snap` must be a bool; got 1"):
        modal.enter(snap=1)  # type: ignore[arg-type]


def test_member_cannot_be_a_function_of_an_app() -> None:
    with pytest.raises(InvalidError, match="marked as a member of a class"):
        modal.App().function()(modal.method()(lambda: None))


def test_function_of_an_app_cannot_be_a_method() -> None:
    with pytest.raises(InvalidError, match=r"cannot be put on the method `predict`"):

        class Wrong:
            @modal.App().function()
            def predict(self) -> None: ...


def test_class_has_at_most_one_batched_method() -> None:
    class Two:
        @modal.batched(max_batch_size=2, wait_ms=1)
        def one(self, xs: list[int]) -> list[int]:
            return xs

        @modal.batched(max_batch_size=2, wait_ms=1)
        def two(self, xs: list[int]) -> list[int]:
            return xs

    with pytest.raises(InvalidError, match="2 batched methods, `one` and `two`"):
        _declare(Two)


def test_batched_method_has_no_other_methods_beside_it() -> None:
    class Mixed:
        @modal.batched(max_batch_size=2, wait_ms=1)
        def one(self, xs: list[int]) -> list[int]:
            return xs

        @modal.method()
        def two(self) -> None: ...

    with pytest.raises(InvalidError, match="cannot have other modal methods; it has `one`, `two`"):
        _declare(Mixed)
    with pytest.raises(InvalidError, match="cannot have other modal methods"):
        _declare(Plain).with_batching(max_batch_size=2, wait_ms=1)


def test_retries_on_a_class_with_a_generator_method_are_refused() -> None:
    with pytest.raises(InvalidError, match="cannot be set on the generator `stream`"):
        _declare(Plain, retries=1)


# -- parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [float, list, list[str], "str | None", Any, None])
def test_parameter_of_another_type_is_refused(kind: Any) -> None:
    hints = {} if kind is None else {"size": kind}
    wrong = type("A", (), {"size": modal.parameter(), "__annotations__": hints})
    with pytest.raises(InvalidError, match="must be annotated with str, int, bytes or bool"):
        _declare(wrong)


@pytest.mark.parametrize("kind", ["str", "int", "bytes", "bool", str, int, bytes, bool])
def test_parameter_may_be_a_str_int_bytes_or_bool(kind: Any) -> None:
    right = type("A", (), {"size": modal.parameter(), "__annotations__": {"size": kind}})
    assert "size: " in repr(_declare(right))


def test_parameter_with_a_default_of_another_type_is_refused() -> None:
    class Wrong:
        depth: int = modal.parameter(default=True)

    with pytest.raises(InvalidError, match="must have a default of type int; got True"):
        _declare(Wrong)


def test_parameter_without_init_is_no_part_of_the_constructor() -> None:
    class Partly:
        size: str = modal.parameter(default="s")
        table: dict[str, int] = modal.parameter(init=False)
        count: float = modal.parameter(default=1.5, init=False)

        @modal.method()
        def get(self) -> Any:
            return self.count, hasattr(self, "table")

    assert _declare(Partly)().get.local() == (1.5, False)
    with pytest.raises(TypeError, match="unexpected keyword argument 'table'"):
        _declare(Partly)(table={})
    with pytest.raises(InvalidError, match="`init` of `parameter` must be a bool"):
        modal.parameter(init=0)  # type: ignore[arg-type]


def test_parameters_are_given_by_name() -> None:
    with pytest.raises(InvalidError, match=r"given by name; got 'large'"):
        _declare(Plain)("large")


@pytest.mark.parametrize(
    ("given", "text"),
    [({"width": 1}, "unexpected keyword argument 'width'"), ({"size": 1}, "must be of type str")],
)
def test_unknown_or_wrongly_typed_parameter_is_a_type_error(
    given: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        _declare(Plain)(**given)


def test_parameters_take_16_kib_at_most() -> None:
    with pytest.raises(InvalidError, match=r"at most 16,384 are allowed"):
        _declare(Plain)(size="x" * 16_384)


# -- handles -------------------------------------------------------------------------------


def test_class_must_be_instantiated() -> None:
    declared = _declare(Plain)
    with pytest.raises(AttributeError, match=r"Did you forget to instantiate.*`Plain\(\).predict`"):
        declared.predict.remote(1)
    with pytest.raises(AttributeError, match=r"`Plain\(\).update_autoscaler`"):
        declared.update_autoscaler(min_containers=1)


def test_method_is_not_callable() -> None:
    with pytest.raises(TypeError, match=r"is not callable. Use `.*predict.remote\(...\)`"):
        _declare(Plain)().predict(1)


def test_update_autoscaler_on_a_method_is_refused() -> None:
    with pytest.raises(InvalidError, match="Call it on the class instance"):
        _declare(Plain)().predict.update_autoscaler(min_containers=1)
    with pytest.raises(InvalidError, match="Call it on the class instance"):
        asyncio.run(_declare(Plain)().predict.update_autoscaler.aio(min_containers=1))


def test_options_on_a_method_are_refused() -> None:
    with pytest.raises(InvalidError, match=r"use `Plain.with_options\(...\)`"):
        _declare(Plain)().predict.with_options(max_containers=1)


def test_generator_method_is_streamed_and_others_are_not() -> None:
    model = _declare(Plain)()
    with pytest.raises(InvalidError, match=r"Iterate over `.remote_gen\(...\)`"):
        model.stream.remote(3)
    with pytest.raises(InvalidError, match="is no generator"):
        model.predict.remote_gen(3)


def test_reprs_say_what_and_how_without_an_engine() -> None:
    app = modal.App("my-app")
    declared = app.cls()(Plain)
    assert repr(declared) == "<Cls Plain of app my-app(size: str): predict, stream>"
    large = declared(size="large")
    assert repr(large).startswith("<Obj Plain(size='large') of app my-app")
    assert repr(large.predict).startswith("<Method Plain(size='large').predict of app my-app")
    assert repr(app) == "<App my-app: not running; Plain>"
    assert app.registered_classes == {"Plain": declared}
    assert not app.registered_functions
    assert "Plain" in large._repr_html_()
    assert "Plain" in repr(modal.Cls.from_name("my-app", "Plain"))


def test_users_names_go_before_those_of_handles() -> None:
    class Busy:
        name: str = modal.parameter(default="n")

        @modal.method()
        def snapshot(self) -> str:
            return f"snapshot of {self.name}"

    busy: Any = _declare(Busy)()
    assert busy.name == "n"
    assert busy.snapshot.local() == "snapshot of n"
    assert "Busy" in repr(busy)


def test_include_takes_the_classes_of_another_app() -> None:
    one, two = modal.App("one"), modal.App("two")
    two.cls()(Plain)
    included = one.include(two).registered_classes["Plain"]
    assert included().predict.app is one
    assert included(size="x").predict.local(1) == "x 1"
    three = modal.App()
    three.cls()(type("Plain", (), {}))
    with pytest.raises(InvalidError, match="Both apps have a class 'Plain'"):
        one.include(three)


# -- .local() ------------------------------------------------------------------------------


def test_local_runs_enter_once_for_an_instance_and_exit_never() -> None:
    story: list[str] = []

    class Local:
        @modal.enter()
        def load(self) -> None:
            story.append("load")

        @modal.enter()
        async def connect(self) -> None:
            story.append("connect")

        @modal.method()
        def predict(self, x: int) -> int:
            return x + 1

        @modal.method()
        async def apredict(self, x: int) -> int:
            return x + 2

        @modal.method()
        async def stream(self, n: int) -> Any:
            for i in range(n):
                yield i

        @modal.exit()
        def close(self) -> None:
            story.append("close")

    instance = _declare(Local)()
    assert not story
    assert instance.predict.local(1) == 2
    assert instance.predict.local(2) == 3
    assert story == ["load", "connect"]

    async def main() -> Any:
        other = _declare(Local)()
        streamed = [x async for x in other.stream.local(3)]
        # The hooks of an instance are awaited where its coroutines are.
        return await other.apredict.local(1), streamed, instance.predict.local(5)

    assert asyncio.run(main()) == (3, [0, 1, 2], 6)
    assert story == ["load", "connect", "load", "connect"]


def test_local_enter_that_fails_fails_each_call_until_it_works() -> None:
    tries: list[int] = []

    class Flaky:
        @modal.enter()
        def load(self) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise ValueError("not yet")

        @modal.method()
        def predict(self) -> int:
            return len(tries)

    instance = _declare(Flaky)()
    for _ in range(2):
        with pytest.raises(ValueError, match="not yet"):
            instance.predict.local()
    assert instance.predict.local() == instance.predict.local() == 3


def test_undecorated_methods_and_attributes_are_local() -> None:
    declared = _declare(Plain)
    assert declared(size="x").helper() == "helper of x"
    assert declared(size="x").size == "x"
    assert declared.constant() == 7
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = declared().nothing


def test_self_method_has_what_a_handle_has() -> None:
    class Both:
        @modal.method()
        def one(self, x: int) -> int:
            return x + 1

        @modal.method()
        def two(self, x: int) -> Any:
            return self.one(x), self.one.local(x), repr(self.one), hasattr(self.one, "map")

    assert _declare(Both)().two.local(1) == (2, 2, "<Method Both.one>", True)


def test_slots_leave_plain_methods() -> None:
    class Slotted:
        __slots__ = ("x",)

        @modal.method()
        def one(self) -> int:
            return 1

        @modal.method()
        def two(self) -> int:
            return int(self.one() + 1)

    assert _declare(Slotted)().two.local() == 2


# -- inheritance ---------------------------------------------------------------------------


class Base:
    size: str = modal.parameter(default="base")

    @modal.enter()
    def load(self) -> None:
        self.story = ["base load"]

    @modal.method()
    def predict(self) -> Any:
        return self.size, self.story

    @modal.method()
    def other(self) -> str:
        return "base"


class Derived(Base):
    depth: int = modal.parameter(default=2)

    @modal.enter()
    def warm(self) -> None:
        self.story.append("derived warm")

    def load(self) -> None:
        super().load()
        self.story.append("derived load")

    @modal.method()
    def other(self) -> str:
        return f"derived, {super().other()}"


def test_inheritance_of_methods_hooks_and_parameters() -> None:
    derived = _declare(Derived)(depth=3)
    assert derived.predict.local() == ("base", ["base load", "derived load", "derived warm"])
    assert derived.other.local() == "derived, base"
    assert (derived.size, derived.depth) == ("base", 3)


def test_decorated_class_can_be_derived_from() -> None:
    decorated: Any = _declare(Base)

    class More(decorated):  # type: ignore[misc]
        @modal.method()
        def more(self) -> str:
            return f"more {self.size}"

    assert _declare(More)(size="x").more.local() == "more x"
    assert _declare(More)().predict.local() == ("base", ["base load"])


def test_name_that_no_longer_is_a_method_is_none() -> None:
    fewer = type("Fewer", (Base,), {"other": None, "size": "fixed"})
    assert repr(_declare(fewer)) == "<Cls Fewer(): predict>"


# -- from_name -----------------------------------------------------------------------------


def test_from_name_of_a_method_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"`name` must name a class; got 'Model.predict'"):
        modal.Cls.from_name("my-app", "Model.predict")
    with pytest.raises(InvalidError, match=r"`Cls.from_name` with the name of the class"):
        modal.Function.from_name("my-app", "Model.predict")
    with pytest.raises(InvalidError, match="`app_name` must be a str"):
        modal.Cls.from_name("", "Model")


def test_from_name_of_nothing_is_not_found_at_first_use(engine: None) -> None:
    handle = modal.Cls.from_name("no-app", "Model")
    with pytest.raises(NotFoundError, match="Lookup failed for Cls 'Model': there is no app"):
        handle()
    with pytest.raises(NotFoundError, match="Lookup failed for Cls"):
        handle.hydrate()


def test_handle_from_elsewhere_has_methods_and_parameters_only(app: modal.App) -> None:
    app.cls()(Plain)
    with app.run():
        handle = modal.Cls.from_name("test-app", "Plain")
        large = handle(size="large")
        assert large.size == "large"
        with pytest.raises(NotFoundError, match="has no method `helper`"):
            large.helper()
        with pytest.raises(NotFoundError, match="has no method `constant`"):
            handle.constant()
        with pytest.raises(ExecutionError, match="has no local definition"):
            large.predict.local(1)
        with pytest.raises(TypeError, match="must be of type str"):
            handle(size=1)
        with pytest.raises(InvalidError, match="nothing can be derived"):
            types.new_class("More", (handle,))
        with pytest.raises(NotFoundError, match=r"it is a class. Use `Cls.from_name`"):
            modal.Function.from_name("test-app", "Plain").hydrate()
