"""Keys of proxy auth: shown once, kept hashed, for the user only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from modalnb.exception import InvalidError, NotFoundError
from modalnb.web.keys import KeyRing, default_path


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "new" / "keys.json")


def test_key_opens_with_its_secret_only(ring: KeyRing) -> None:
    key, secret = ring.new("mine")
    other, other_secret = ring.new()
    assert ring.admits(key, secret)
    assert not ring.admits(key, other_secret)
    assert not ring.admits(other, secret)
    assert not ring.admits("", "")
    assert not ring.admits(key, "\udcff")


def test_secret_is_nowhere_in_the_file(ring: KeyRing) -> None:
    _, secret = ring.new()
    assert secret not in ring.path.read_text()
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.path.parent.stat().st_mode) == 0o700


def test_what_another_process_changes_is_seen(ring: KeyRing) -> None:
    other = KeyRing(ring.path)
    key, secret = ring.new()
    assert other.admits(key, secret)
    ring.revoke(key)
    assert not other.admits(key, secret)
    os.unlink(ring.path)
    assert other.all() == []


def test_list_is_in_order_of_making(ring: KeyRing) -> None:
    names = ["a", "b", "c"]
    for name in names:
        ring.new(name)
    assert [key.name for key in ring.all()] == names


def test_revoking_what_is_not_there_is_an_error(ring: KeyRing) -> None:
    with pytest.raises(NotFoundError, match="no key 'wk-x'"):
        ring.revoke("wk-x")


def test_file_that_others_can_read_is_refused(ring: KeyRing) -> None:
    key, secret = ring.new()
    ring.path.chmod(0o644)
    with pytest.raises(InvalidError, match="chmod 600"):
        KeyRing(ring.path).admits(key, secret)


def test_default_path_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "modalnb" / "keys.json"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_path() == Path.home() / ".config" / "modalnb" / "keys.json"
