"""Functions with a cache travel like any other."""

from __future__ import annotations

import fnmatch
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle

from modalnb.payload import pickling


def _travelled(value: Any) -> Any:
    """What another process, which cannot import this module, would get."""
    return pickling.loads([bytes(frame) for frame in pickling.dumps(value)])


def test_local_cached_function_keeps_its_parameters() -> None:
    @functools.lru_cache(maxsize=3, typed=True)
    def double(x: int) -> int:
        return 2 * x

    other = _travelled(double)
    assert other is not double
    assert (other(4), other.__name__) == (8, "double")
    assert other.cache_parameters() == {"maxsize": 3, "typed": True}


def test_recursive_cached_function_calls_itself() -> None:
    @functools.cache
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    other = _travelled(fibonacci)
    assert other(30) == 832040
    assert other.cache_info().misses == 31


def test_cached_method_of_local_class() -> None:
    class Circle:
        @functools.cache  # noqa: B019
        def area(self, radius: int) -> int:
            return 3 * radius * radius

    assert _travelled(Circle)().area(2) == 12


def test_cached_function_of_installed_package_stays_a_reference() -> None:
    cached = fnmatch._compile_pattern  # type: ignore[attr-defined]
    assert cloudpickle.loads(cloudpickle.dumps(cached)) is cached


def test_cached_helper_of_script_runs_in_container(tmp_path: Path) -> None:
    """A script's names cannot be imported in a container, least of all those of its caches."""
    script = tmp_path / "script.py"
    script.write_text(
        "import functools, modalnb\n"
        "app = modalnb.App()\n"
        "@functools.cache\n"
        "def load(n): return n + 1\n"
        "@app.function()\n"
        "def work(n): return load(n)\n"
        "if __name__ == '__main__':\n"
        "    with app.run():\n"
        "        print(work.remote(4))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(Path(pickling.__file__).parents[2])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "")
