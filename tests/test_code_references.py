"""References to code: a hash names all of it, ``HASH#method`` a method, ``#method`` the newest."""

from __future__ import annotations

import pytest

from modalnb import messages as m


@pytest.mark.parametrize(
    ("code", "method", "reference"), [("a1", "f", "a1#f"), (None, "f", "#f"), (None, "", "#")]
)
def test_reference_to_a_method(code: str | None, method: str, reference: str) -> None:
    assert m.code_of_method(code, method) == reference


@pytest.mark.parametrize(
    ("reference", "whole", "resolved", "other"),
    [
        ("a1", "a1", "a1", "b2"),
        ("a1#f", "a1", "a1#f", "b2#f"),
        ("#f", "", "now#f", "b2#f"),
    ],
)
def test_parts_of_a_reference(reference: str, whole: str, resolved: str, other: str) -> None:
    assert m.whole_code(reference) == whole
    assert m.resolve_code(reference, "now") == resolved
    assert m.with_code(reference, "b2") == other


def test_no_reference_is_the_current_code() -> None:
    assert m.resolve_code(None, "now") == "now"
