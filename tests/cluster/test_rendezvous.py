"""A second process of the same user finds the engine of the first one, and nobody else does."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from modalnb.cluster.rendezvous import Rendezvous, find, folder
from modalnb.exception import ConnectionError, NotFoundError

SHOP = """
import modalnb
app = modalnb.App("shop")

@app.function(max_containers=3)
def double(x):
    return 2 * x

assert double.remote(1) == 2
"""
GUEST = """
import modalnb
modalnb.connect()
double = modalnb.Function.from_name("shop", "double")
guest = modalnb.App("guest")

@guest.function()
def triple(x):
    return 3 * x

assert triple.remote(1) == 3
"""


@pytest.fixture(scope="module")
def shop(make_peer: Any) -> Any:
    """A process with an engine and a function."""
    peer = make_peer()
    peer.do(SHOP)
    return peer


@pytest.fixture
def guest(shop: Any, make_peer: Any) -> Iterator[Any]:
    """A second process that is connected to the engine of the first."""
    peer = make_peer()
    peer.do(GUEST)
    yield peer
    peer.close()


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for rendezvous files of this process."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return folder()


def test_connect_calls_functions_of_the_other_process(shop: Any, guest: Any) -> None:
    assert guest.get("list(double.map(range(100)))") == [2 * i for i in range(100)]
    assert guest.get("double.remote(21)") == 42


def test_connect_moves_the_autoscaler_of_the_other_process(
    shop: Any, guest: Any, wait_until: Any
) -> None:
    guest.do("double.update_autoscaler(min_containers=2)")
    wait_until(lambda: shop.get("double.snapshot().count('idle')") == 2)
    guest.do("double.update_autoscaler(min_containers=0, scaledown_window=0.2)")
    wait_until(lambda: shop.get("len(double.snapshot().containers)") == 0)


@pytest.mark.parametrize("end", ["close", "kill"])
def test_engine_goes_on_without_the_apps_of_a_client_that_ended(
    shop: Any, guest: Any, end: str, wait_until: Any
) -> None:
    shop.do("triple = modalnb.Function.from_name('guest', 'triple')")
    assert shop.get("triple.remote(2)") == 6
    if end == "kill":
        guest.process.kill()
    else:
        guest.close()

    def is_gone() -> bool:
        shop.do("triple = modalnb.Function.from_name('guest', 'triple')")
        try:
            shop.get("triple.remote(2)")
        except shop.Error as error:
            return "there is no app 'guest'" in error.text
        return False

    wait_until(is_gone)
    assert shop.get("double.remote(4)") == 8


def test_file_and_folder_are_for_this_user_only(shop: Any) -> None:
    runtime = Path(shop.env["XDG_RUNTIME_DIR"]) / "modalnb"
    (file,) = runtime.glob("engine-*.json")
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["parent"] == shop.process.pid


def test_connect_does_not_find_the_engine_of_its_own_process(shop: Any) -> None:
    """It would close the session that the engine lives for."""
    with pytest.raises(shop.Error, match="NotFoundError: No engine that another process"):
        shop.get("modalnb.connect()")
    assert shop.get("double.remote(5)") == 10


def test_connect_without_engine_says_what_to_do(own_folder: Path) -> None:
    with pytest.raises(NotFoundError, match="the first call of a function starts one"):
        find()


def test_file_of_an_engine_that_was_killed_is_removed(make_peer: Any, wait_until: Any) -> None:
    peer = make_peer(runtime="killed")
    peer.do(SHOP)
    files = Path(peer.env["XDG_RUNTIME_DIR"]) / "modalnb"
    (file,) = files.glob("engine-*.json")
    engine = psutil.Process(json.loads(file.read_text())["pid"])
    engine.send_signal(signal.SIGKILL)
    wait_until(lambda: engine.status() == psutil.STATUS_ZOMBIE)
    second = make_peer(runtime="killed")
    second.do("import modalnb")
    with pytest.raises(second.Error, match="NotFoundError"):
        second.get("modalnb.connect()")
    assert not list(files.glob("engine-*.json"))


def test_file_is_stale_when_its_process_id_has_a_new_owner(own_folder: Path) -> None:
    file = own_folder / f"engine-{os.getpid()}.json"
    file.write_text(json.dumps({"pid": os.getpid()}))
    with pytest.raises(NotFoundError):
        find()
    assert not file.exists()


def test_latest_engine_is_found_until_it_withdraws(own_folder: Path) -> None:
    older = Rendezvous({"pid": 1, "parent": 1})
    newer = Rendezvous({"pid": 2, "parent": 1})
    os.utime(older.path, (1, 1))
    assert find()["pid"] == 2
    newer.withdraw()
    assert find()["pid"] == 1
    older.withdraw()
    assert not list(own_folder.iterdir())


def test_folder_that_others_can_enter_is_refused(own_folder: Path) -> None:
    own_folder.chmod(0o750)
    with pytest.raises(ConnectionError, match="must be a folder that only you can enter"):
        find()


def test_link_in_place_of_the_folder_is_refused(own_folder: Path, tmp_path: Path) -> None:
    own_folder.rename(tmp_path / "elsewhere")
    own_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConnectionError, match="must be a folder that only you can enter"):
        find()
