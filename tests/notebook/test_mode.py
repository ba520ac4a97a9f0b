"""Which form a dashboard takes: what was asked for, else what the process can show."""

from __future__ import annotations

import pytest

from modalnb.exception import InvalidError
from modalnb.notebook import mode


@pytest.mark.parametrize("asked", mode.CHOICES)
def test_environment_chooses(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv(mode.VARIABLE, asked)
    assert mode.mode() == asked


def test_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mode.VARIABLE, "fancy")
    with pytest.raises(InvalidError, match="one of live, basic, html, text; got 'fancy'"):
        mode.mode()


def test_process_without_a_kernel_shows_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mode.VARIABLE, raising=False)
    assert mode.kernel() is None
    assert mode.mode() == "text"
