"""The tests' own NVIDIA driver: a compiled library, and the script that says what it answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml.c")
LOST = 15


def build(folder: Path) -> Path:
    """Compile the library under the name by which pynvml loads it; returns its folder."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a C compiler is missing: run `apt-get install gcc`")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE],
        check=True,
    )
    return folder


@dataclass
class Gpu:
    """One device of the script."""

    uuid: str
    name: str = "NVIDIA L40S"
    total: int = 46_068
    used: int = 512
    rate: int = 7
    code: int = 0
    slices: list[Gpu] = field(default_factory=list)


class Driver:
    """What the driver answers from now on; every change counts at once, also in what runs."""

    def __init__(self, library: Path, script: Path) -> None:
        self.script = script
        path = os.environ.get("LD_LIBRARY_PATH")
        self.env = {
            "LD_LIBRARY_PATH": f"{library}{os.pathsep}{path}" if path else str(library),
            "NVML_SCRIPT": str(script),
        }
        self.gpus: list[Gpu] = []
        self.write()

    def reset(self) -> None:
        """Two L40S and a T4, all well."""
        self.gpus = [
            Gpu("GPU-one"),
            Gpu("GPU-two"),
            Gpu("GPU-small", name="Tesla T4", total=15_360, rate=0),
        ]
        self.write()

    def write(self, *extra: str) -> None:
        """Answer with :attr:`gpus`; `extra` lines are ``"hang"``, ``"crash"``, ``"init\\t9"``."""
        lines = [
            f"device\t{g.uuid}\t{g.name}\t{g.total}\t{g.used}\t{g.rate}\t{g.code}"
            for g in self.gpus
        ]
        lines += [
            f"mig\t{n}\t{s.uuid}\t{s.name}\t{s.total}\t{s.used}"
            for n, g in enumerate(self.gpus)
            for s in g.slices
        ]
        fresh = self.script.with_suffix(".new")
        fresh.write_text("\n".join([*lines, *extra]) + "\n")
        fresh.rename(self.script)
