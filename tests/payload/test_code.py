"""Functions and classes are pickled again exactly when something that they use has changed."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest

from modalnb.exception import InvalidError, SerializationError
from modalnb.payload import code
from modalnb.payload.code import CodeCache


def _namespace(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace


def _definitions(function: Callable[..., Any]) -> Callable[[], code.Definition]:
    cache = CodeCache("f")
    return lambda: cache.current(function)


def test_unchanged_function_is_pickled_once() -> None:
    names = _namespace("rate = 2\ndef helper(x): return x * rate\ndef f(x): return helper(x)")
    current = _definitions(names["f"])
    assert current() is current()


def test_rebound_global_is_seen() -> None:
    names = _namespace("rate = 2\ndef f(x): return x * rate")
    current = _definitions(names["f"])
    assert code.load(current().blob)(3) == 6
    names["rate"] = 5
    assert code.load(current().blob)(3) == 15


def test_redefined_helper_is_seen() -> None:
    names = _namespace("def helper(x): return x + 1\ndef f(x): return helper(x)")
    current = _definitions(names["f"])
    assert code.load(current().blob)(1) == 2
    exec("def helper(x): return x + 100", names)
    assert code.load(current().blob)(1) == 101


def test_value_changed_in_place_is_seen() -> None:
    names = _namespace("options = {'rate': 1}\ndef f(): return options['rate']")
    current = _definitions(names["f"])
    assert code.load(current().blob)() == 1
    names["options"]["rate"] = 2
    assert code.load(current().blob)() == 2


def test_default_and_closure_values_are_seen() -> None:
    def make(factor: list[int]) -> Callable[[int], int]:
        def f(x: int, offset: int = 10) -> int:
            return x * factor[0] + offset

        return f

    factor = [2]
    function = make(factor)
    current = _definitions(function)
    assert code.load(current().blob)(1) == 12
    factor[0] = 3
    function.__defaults__ = (20,)
    assert code.load(current().blob)(1) == 23


def test_global_that_appears_later_is_seen() -> None:
    names = _namespace("def f(): return later")
    current = _definitions(names["f"])
    current()
    names["later"] = 7
    assert code.load(current().blob)() == 7


def test_recursive_function_is_stable() -> None:
    names = _namespace("def f(n): return 1 if n < 2 else n * f(n - 1)")
    current = _definitions(names["f"])
    assert current() is current()
    assert code.load(current().blob)(5) == 120


def test_unpicklable_global_is_named() -> None:
    names = _namespace("import threading\nlock = threading.Lock()\ndef f(): return lock")
    with pytest.raises(SerializationError, match=r"function `f`.* → lock"):
        _definitions(names["f"])()


def test_function_with_huge_globals_is_refused() -> None:
    names = _namespace("data = b'x' * (17 << 20)\ndef f(): return data")
    with pytest.raises(InvalidError, match="takes 17 MiB with the globals that it uses"):
        _definitions(names["f"])()


def test_function_with_large_globals_is_sent_with_a_warning() -> None:
    names = _namespace("data = b'x' * (300 << 10)\ndef f(): return len(data)")
    current = _definitions(names["f"])
    with pytest.warns(UserWarning, match="Function `f` takes more than 256 KiB") as caught:
        assert code.load(current().blob)() == 300 << 10
    assert [warning.filename for warning in caught] == [__file__]


def test_installed_packages_travel_by_reference() -> None:
    import json

    blob = code.define(json.dumps, "dumps").blob
    assert len(blob) < 20_000
    assert code.load(blob) is json.dumps


def test_handles_that_a_function_uses_are_found() -> None:
    import modalnb

    app = modalnb.App()
    inner = app.function(name="inner")(lambda: None)
    names = _namespace("def f(): return inner")
    names["inner"] = inner
    assert code.define(names["f"], "f").handles == (inner,)


def test_module_of_the_users_is_not_installed() -> None:
    assert code.is_installed(types)
    assert not code.is_installed(types.ModuleType("__main__"))


CLASS = """
rate = 2
def helper(x): return x * rate
class Base:
    def inherited(self, x): return helper(x)
class Model(Base):
    size: int = 3
    def predict(self, x): return helper(x) + self.size
    @property
    def both(self): return self.size + rate
    @staticmethod
    def static(): return rate
"""


def test_unchanged_class_is_pickled_once() -> None:
    current = _definitions(_namespace(CLASS)["Model"])
    assert current() is current()


@pytest.mark.parametrize(
    "change",
    [
        "rate = 5",
        "def helper(x): return -x",
        "Model.size = 10",
        "Model.predict = lambda self, x: 77",
        "Base.inherited = lambda self, x: 77",
        "Model.size, Model.rate = 3, 3",
    ],
)
def test_whatever_a_class_uses_is_seen(change: str) -> None:
    names = _namespace(CLASS)
    current = _definitions(names["Model"])
    before = current()
    exec(change, names)
    assert current().code != before.code
    assert current() is current()


def test_value_of_a_class_changed_in_place_is_seen() -> None:
    names = _namespace("class A:\n    table = [1]")
    current = _definitions(names["A"])
    before = current()
    assert current().code == before.code
    names["A"].table.append(2)
    assert current().code != before.code


def test_class_that_a_function_uses_is_looked_into() -> None:
    names = _namespace(CLASS + "\ndef f(x): return Model().predict(x)")
    current = _definitions(names["f"])
    before = current()
    assert current() is before
    names["rate"] = 5
    assert current().code != before.code


def test_carrier_travels_in_the_place_of_what_it_holds() -> None:
    names = _namespace(CLASS)
    carrier = ("carrier", names["Model"])
    cache = CodeCache("Model")
    assert cache.current(names["Model"], carrier) is cache.current(names["Model"], carrier)
    label, kind = code.load(cache.current(names["Model"], carrier).blob)
    assert label == "carrier"
    assert kind().predict(1) == 5


def test_unpicklable_value_of_a_class_is_named() -> None:
    names = _namespace("import threading\nclass A:\n    lock = threading.Lock()")
    with pytest.raises(SerializationError, match=r"class `f`.lock` of type _thread.lock"):
        _definitions(names["A"])()
