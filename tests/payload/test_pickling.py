"""Values become frames and come back equal; what cannot is named."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalnb.exception import DeserializationError, SerializationError
from modalnb.payload import envelope, pickling
from modalnb.payload.shared_memory import Depot

_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_plain)
def test_plain_values_come_back_equal(value: Any) -> None:
    assert pickling.loads(pickling.dumps(value)) == value
    assert envelope.unpack(envelope.pack(value, None), None) == value


def test_small_arrays_stay_within_one_payload() -> None:
    payload = envelope.pack(np.arange(10), None)
    assert isinstance(payload, list)
    assert envelope.unpack(payload, None).tolist() == list(range(10))


def test_large_arrays_go_through_shared_memory_and_can_be_changed(tmp_path: Any) -> None:
    depot = Depot(str(tmp_path))
    array = np.arange(100_000)
    ticket = envelope.pack({"a": array, "b": array[:50_000].copy()}, depot)
    assert isinstance(ticket, dict)
    assert len(list(tmp_path.iterdir())) == 1
    first = envelope.unpack(ticket, depot)
    first["a"] += 1
    second = envelope.unpack(ticket, depot, keep=False)
    assert second["a"].tolist() == array.tolist()
    assert second["b"].tolist() == array[:50_000].tolist()
    assert list(tmp_path.iterdir()) == []
    second["b"][0] = 7


def test_large_values_without_room_in_shared_memory_travel_inline(tmp_path: Any) -> None:
    """A full or missing folder is no error: the value goes the slower way."""
    depot = Depot(str(tmp_path / "missing"))
    payload = envelope.pack(np.arange(100_000), depot)
    assert isinstance(payload, list)
    assert envelope.unpack(payload, depot).sum() == sum(range(100_000))


def test_discard_removes_the_memory(tmp_path: Any) -> None:
    depot = Depot(str(tmp_path))
    ticket = envelope.pack(b"x" * 200_000, depot)
    envelope.discard(ticket, depot)
    assert list(tmp_path.iterdir()) == []


class _Holder:
    def __init__(self, part: Any) -> None:
        self.part = part

    def get(self) -> Any:
        return self.part


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "`value`"),
        ({"a": [1, threading.Lock()]}, "value['a'][1]"),
        ((1, {2: threading.Lock()}), "value[1][2]"),
        (_Holder(_Holder(threading.Lock())), "value.part.part"),
        (functools.partial(print, threading.Lock()), "value.args[0]"),
        (_Holder(threading.Lock()).get, "value.__self__.part"),
    ],
)
def test_culprit_is_named_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(SerializationError) as caught:
        pickling.dumps(value)
    assert path in str(caught.value)
    assert "_thread.lock" in str(caught.value)


def test_class_defined_in_a_function_travels_by_value() -> None:
    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

    frames = pickling.dumps(Local(3))
    again = pickling.loads(frames)
    assert type(again) is Local
    assert again.x == 3


def test_garbage_is_a_deserialization_error_that_says_where() -> None:
    with pytest.raises(DeserializationError, match=r"The result arrived but cannot be rebuilt"):
        pickling.loads(b"no pickle", "result")
