"""``modalnb token``: making, listing and revoking keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modalnb.cli.main import cli
from modalnb.web.keys import KeyRing


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyRing:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return KeyRing()


def _token(*words: str) -> Result:
    return CliRunner().invoke(cli, ["token", *words])


def test_new_key_opens(ring: KeyRing) -> None:
    lines = _token("new", "--name", "tests").stdout.splitlines()
    key, secret = [line.partition(": ")[2] for line in lines]
    assert ring.admits(key, secret)


def test_list_shows_no_secret(ring: KeyRing) -> None:
    key, secret = ring.new("laptop")
    done = _token("list")
    assert key in done.stdout
    assert "laptop" in done.stdout
    assert secret not in done.stdout


def test_empty_list_says_what_to_do(ring: KeyRing) -> None:
    assert "`modalnb token new`" in _token("list").stderr


def test_revoked_key_opens_nothing(ring: KeyRing) -> None:
    key, secret = ring.new()
    assert _token("revoke", key).exit_code == 0
    assert not ring.admits(key, secret)


def test_revoking_an_unknown_key_fails(ring: KeyRing) -> None:
    done = _token("revoke", "wk-nothing")
    assert done.exit_code == 1
    assert "There is no key 'wk-nothing'" in done.stderr
