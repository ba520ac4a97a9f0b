"""Classes that come back are those that were sent; classes from elsewhere are kept up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modalnb.payload import pickling

SOURCE = """
rate = 2
def helper(): return rate
class Point:
    def value(self): return helper()
"""


def _namespace() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(SOURCE, namespace)
    return namespace


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_class_that_comes_back_still_sees_later_definitions(kind: Any) -> None:
    """Also in a payload that lies in shared memory."""
    names = _namespace()
    point = pickling.loads([kind(frame) for frame in pickling.dumps(names["Point"]())])
    assert type(point) is names["Point"]
    names["rate"] = 5
    assert point.value() == names["Point"]().value() == 5


def test_empty_class_comes_back_as_itself() -> None:
    kind = type("Empty", (Exception,), {"__module__": "__main__"})
    assert type(pickling.loads(pickling.dumps(kind("x")))) is kind


def test_class_from_elsewhere_is_made_once_and_follows_its_changes(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("first", "second")]
    names = _namespace()
    files[0].write_bytes(_pickled(names))
    names["Point"].value = lambda self: 7
    files[1].write_bytes(_pickled(names))
    code = (
        "import sys\n"
        "from modalnb.payload import pickling\n"
        "one, two = [open(name, 'rb').read() for name in sys.argv[1:]]\n"
        "first = pickling.loads(one)\n"
        "before = first.value()\n"
        "second = pickling.loads(two)\n"
        "assert type(first) is type(second)\n"
        "print(before, first.value(), second.value())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 7 7\n", done.stderr


def _pickled(names: dict[str, Any]) -> bytes:
    (frame,) = pickling.dumps(names["Point"]())
    assert isinstance(frame, bytes)
    return frame
