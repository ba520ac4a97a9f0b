"""Binder's files, as the tool that Binder builds with understands them; no image is built."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What repo2docker would build, of a copy of what it reads."""
    copy = tmp_path_factory.mktemp("repository")
    for file in (*BINDER.iterdir(), ROOT / "pyproject.toml"):
        target = copy / file.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
        target.chmod(file.stat().st_mode)
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_python_version_is_one_that_the_package_allows(dockerfile: str) -> None:
    found = re.search(r"environment for python=(\d+)\.(\d+)", dockerfile)
    assert found, dockerfile
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert needed == ">=3.11"
    assert (int(found[1]), int(found[2])) >= (3, 11)


def test_requirements_are_installed_after_the_package_was_copied(dockerfile: str) -> None:
    copied = dockerfile.index("src/ ${REPO_DIR}/")
    assert copied < dockerfile.index('-r "binder/requirements.txt"')
    assert copied < dockerfile.index("RUN ./binder/postBuild")
    assert 'R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


def test_requirements_end_with_this_package_and_an_extra_that_exists() -> None:
    last = (BINDER / "requirements.txt").read_text().split()[-1]
    found = re.fullmatch(r"\.\[(\w+)\]", last)
    assert found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found[1] in project["optional-dependencies"]


@pytest.mark.parametrize("script", ["start", "postBuild"])
def test_scripts_are_sound_and_executable(script: str) -> None:
    path = BINDER / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_start_runs_what_it_is_given_in_its_environment() -> None:
    command = [str(BINDER / "start"), sys.executable, "-c", "import os; print(os.environ)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "'MODALNB_GPU_FALLBACK': 'cpu'" in done.stdout
