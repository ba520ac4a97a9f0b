"""What the package gives its users, and what importing it costs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import modalnb


def test_all_is_sorted_and_complete() -> None:
    assert modalnb.__all__ == sorted(modalnb.__all__)
    for name in modalnb.__all__:
        assert getattr(modalnb, name) is not None
    assert set(modalnb.__all__) <= set(dir(modalnb))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = modalnb.nothing


def test_config_and_exception_are_what_the_names_say() -> None:
    """Importing every module must not put one in the place of a public name."""
    for module in pkgutil.walk_packages(modalnb.__path__, "modalnb."):
        if module.name not in ("modalnb.__main__", "modalnb.engine"):
            importlib.import_module(module.name)
    assert repr(modalnb.config).startswith("Config(")
    assert modalnb.exception.__name__ == "modalnb.exception"


@pytest.mark.parametrize("module", ["distributed", "IPython", "ipywidgets", "numpy", "tqdm"])
def test_import_is_lazy(module: str) -> None:
    code = f"import sys, modalnb; raise SystemExit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_errors_keep_their_facts_through_pickling() -> None:
    import pickle

    from modalnb.exception import ContainerLostError, ResourceExhaustedError

    full = ResourceExhaustedError(limit="pending inputs", current=5, maximum=5, function="f")
    again = pickle.loads(pickle.dumps(full))
    assert (again.limit, again.current, again.maximum, again.function) == (
        "pending inputs",
        5,
        5,
        "f",
    )
    assert str(again) == str(full)
    lost = pickle.loads(pickle.dumps(ContainerLostError(function="f", losses=("a", "b"))))
    assert lost.losses == ("a", "b")
    assert "2 times" in str(lost)


def test_timeout_and_connection_errors_are_the_builtin_ones_too() -> None:
    import builtins

    from modalnb import exception

    assert issubclass(exception.FunctionTimeoutError, builtins.TimeoutError)
    assert issubclass(exception.ConnectionError, builtins.ConnectionError)
    assert not issubclass(exception.InputCancellation, Exception)
