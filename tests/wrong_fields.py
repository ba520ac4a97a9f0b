"""Fields of messages as they should not be, for tests of those who receive them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

numbers = st.integers(0, 12)
leases = st.lists(numbers, max_size=4)
payloads = st.binary(max_size=3) | st.just({"file": "f", "sizes": [1]}) | st.just([b"a", b"b"])
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**40)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def fields_of(draw: st.DrawFn, known: Mapping[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """The fields of a message, of which some may be wrong, missing or unknown."""
    fields = {name: draw(values) for name, values in known.items()}
    for name in draw(st.lists(st.sampled_from([*known, "odd"]), max_size=1)):
        if draw(st.booleans()):
            fields[name] = draw(junk)
        else:
            fields.pop(name, None)
    return fields
