"""A second process uses the classes of the first one, without their code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHOP = """
import os
import modalnb as modal
app = modal.App("shop")

@app.cls(max_containers=2)
class Model:
    size: str = modal.parameter(default="small")

    @modal.enter()
    def load(self):
        self.factor = len(self.size)

    @modal.method()
    def predict(self, x):
        return self.factor * x, os.getpid()

    @modal.method()
    def count(self, n):
        yield from range(n)

    @modal.exit()
    def close(self):
        with open(os.environ["STORY"], "a") as file:
            file.write(f"close {self.size}\\n")

small, pid = Model().predict.remote(1)
assert small == 5
"""
GUEST = """
import modalnb as modal
modal.connect()
Model = modal.Cls.from_name("shop", "Model")
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exit hooks write."""
    return tmp_path_factory.mktemp("story") / "story"


@pytest.fixture(scope="module")
def shop(make_peer: Any, story: Path) -> Any:
    """A process with an engine and a class."""
    peer = make_peer(runtime="classes", STORY=str(story))
    peer.do(SHOP)
    return peer


@pytest.fixture
def guest(shop: Any, make_peer: Any) -> Iterator[Any]:
    """A second process that is connected to the engine of the first."""
    peer = make_peer(runtime="classes")
    peer.do(GUEST)
    yield peer
    peer.close()


def test_equal_parameters_lead_to_the_pool_of_the_other_process(shop: Any, guest: Any) -> None:
    assert guest.get("Model().predict.remote(2)") == [10, shop.get("pid")]
    assert guest.get("Model(size='small').predict.remote(3)") == [15, shop.get("pid")]


def test_other_parameters_and_options_get_pools_of_their_own(shop: Any, guest: Any) -> None:
    seven, pid = guest.get("Model(size='largest').predict.remote(1)")
    assert seven == 7
    assert pid != shop.get("pid")
    assert shop.get("Model(size='largest').predict.remote(1)") == [7, pid]
    own = guest.get("Model.with_options(max_containers=1)(size='largest').predict.remote(1)[1]")
    assert own != pid
    pools = shop.get("sorted(pool.function for pool in app.snapshot().pools)")
    assert pools == [
        "Model(size='largest')",
        "Model(size='largest')[max_containers=1]",
        "Model(size='small')",
    ]


def test_generator_methods_stream_to_the_other_process(guest: Any) -> None:
    assert guest.get("list(Model().count.remote_gen(3))") == [0, 1, 2]
    with pytest.raises(guest.Error, match=r"Iterate over `.remote_gen\(...\)`"):
        guest.get("Model().count.remote(3)")


def test_wrong_parameters_are_refused_without_the_code(guest: Any) -> None:
    with pytest.raises(guest.Error, match="TypeError: Parameter `size` of `Model` must be"):
        guest.get("Model(size=1)")
    with pytest.raises(guest.Error, match=r"InvalidError.*cannot have other modal methods"):
        guest.get("Model.with_batching(max_batch_size=2, wait_ms=1)()")


def test_redefinition_reaches_the_pools_that_others_made(
    shop: Any, guest: Any, story: Path
) -> None:
    _, pid = guest.get("Model(size='big').predict.remote(1)")
    cell = SHOP[SHOP.index("@app.cls") : SHOP.index("small, pid")]
    shop.do(cell.replace("len(self.size)", "100"))
    assert shop.get("Model().predict.remote(1)[0]") == 100
    assert guest.get("Model(size='big').predict.remote(1)") == [100, pid]
    assert "close big" in story.read_text().splitlines()


def test_exit_hooks_run_when_the_process_with_the_engine_ends(shop: Any, story: Path) -> None:
    shop.do("Model(size='last').predict.remote(1)")
    shop.close()
    assert "close last" in story.read_text().splitlines()
