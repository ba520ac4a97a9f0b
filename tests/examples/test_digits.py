"""The example on digits, as a real process: its numbers must fit together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import modalnb

ROOT = Path(modalnb.__file__).parent.parent
SETTINGS = 8


@pytest.mark.parametrize(
    "command", [("modalnb.examples.digits",), ("modalnb", "run", "-m", "modalnb.examples.digits")]
)
def test_digits_output_is_consistent(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--settings", str(SETTINGS)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines, best, mapped, looped, speed_up = done.stdout.splitlines()
    assert first.startswith(f"{SETTINGS} settings of an SVC")

    sizes = [_size(line) for line in lines]
    assert sizes[0] == sizes[-1] == 0, "from zero and back to zero"
    assert 1 <= max(sizes) <= SETTINGS
    times = [_number(r"^ *([\d.]+) s  containers", line) for line in lines]
    assert times == sorted(times)

    assert 0.9 < _number(r"accuracy ([\d.]+)$", best) <= 1
    map_seconds = _number(r"^map +([\d.]+) s", mapped)
    loop_seconds = _number(r"^plain loop ([\d.]+) s, same scores$", looped)
    assert _number(r"from zero to (\d+) containers", mapped) >= max(sizes)
    assert _number(r"^speed-up +([\d.]+)$", speed_up) == pytest.approx(
        loop_seconds / map_seconds, rel=0.05
    )


def test_digits_refuses_no_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modalnb.examples.digits", "--settings", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 1
    assert "`settings` must be at least 1; got 0." in done.stderr


def _size(line: str) -> int:
    words = line.partition("containers: ")[2]
    return sum(int(count) for count in re.findall(r"\d+", words))


def _number(pattern: str, line: str) -> float:
    match = re.search(pattern, line)
    assert match, f"{pattern} is not in {line!r}"
    return float(match[1])
