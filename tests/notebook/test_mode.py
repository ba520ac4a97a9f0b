"""Which form a dashboard takes: what was asked for, else what the process can show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

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
    assert mode.mode() == "text"
    assert not mode.is_attended(None)


class _Kernel:
    """As much of a kernel as is asked whether somebody sits at its notebook."""

    def __init__(self, *, allow_stdin: bool) -> None:
        self._content = {"allow_stdin": allow_stdin}

    def get_parent(self, channel: str) -> dict[str, Any]:
        assert channel == "shell"
        return {"content": self._content}


@pytest.mark.parametrize(
    ("allow_stdin", "environment", "attended", "by_hand"),
    [
        (True, {}, True, True),
        (False, {}, False, False),
        (True, {"MODALNB_NONINTERACTIVE": "1"}, False, False),
        (False, {"SERVER_SOFTWARE": "voila/0.5.13"}, True, False),
    ],
)
def test_notebook_is_attended_if_somebody_looks(
    monkeypatch: pytest.MonkeyPatch,
    allow_stdin: bool,
    environment: Any,
    attended: bool,
    by_hand: bool,
) -> None:
    for name in ("MODALNB_NONINTERACTIVE", "SERVER_SOFTWARE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shell = SimpleNamespace(kernel=_Kernel(allow_stdin=allow_stdin))
    assert mode.is_attended(shell) is attended
    assert mode.is_run_by_hand(shell) is by_hand
