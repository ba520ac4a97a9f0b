"""What a cell takes along: sizes, refusals, and which names are nobody's business."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from modalnb.exception import InvalidError, SerializationError
from modalnb.notebook import capture
from modalnb.payload.packed import Packed, anchored


def test_choose_leaves_out_what_ipython_put_there() -> None:
    namespace = {"a": 1, "get_ipython": len, "_": 5, "Out": {}}
    hidden = {"get_ipython": len, "Out": namespace["Out"], "_": ""}
    assert capture.choose(["a", "get_ipython", "_", "Out", "no"], namespace, hidden) == {
        "a": 1,
        "_": 5,
    }


def test_measure_says_kind_size_and_problem() -> None:
    items = {i.name: i for i in capture.measure({"m": math, "b": b"x" * 1000, "l": [{}, open]})}
    assert items["m"].to_dict() == {"name": "m", "kind": "module", "bytes": 0, "problem": ""}
    assert 1000 < items["b"].size < 1100
    [item] = capture.measure({"state": {"lock": threading.Lock()}})
    assert "`state['lock']` of type _thread.lock" in item.problem


def test_pack_names_the_culprit_before_anything_else() -> None:
    namespace: dict[str, Any] = {"lock": threading.Lock(), "__name__": "__main__"}
    exec("def f(): return lock", namespace)
    values = {name: namespace[name] for name in ("f", "lock")}
    with pytest.raises(SerializationError, match=r"`f`, but `f → lock`(?s:.*)`lock`, but `lock`"):
        capture.pack(values, namespace, 1000)


def test_pack_names_the_largest_when_it_is_too_much() -> None:
    values = {"big": b"x" * 5000, "small": b"y" * 10}
    with pytest.raises(InvalidError, match=r"5\.\d kB .* of at most 1\.0 kB: `big` 5\.0 kB"):
        capture.pack(values, {}, 1000)
    assert capture.pack(values, {}, 10_000).value()[1] == values


def test_functions_share_their_globals_on_arrival() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("k = 1\ndef f(): return k\ndef g():\n    global k\n    k = 2", namespace)
    values = {name: namespace[name] for name in ("f", "g")}
    anchor, arrived = Packed.of((anchored(namespace), values)).value()
    arrived["g"]()
    assert arrived["f"]() == 2
    assert anchor.__globals__["k"] == 2
    assert namespace["k"] == 1


def test_large_buffers_are_not_copied_into_the_pickle() -> None:
    import pickle

    data = pickle.PickleBuffer(bytearray(1_000_000))
    packed = Packed.of(data)
    buffers: list[pickle.PickleBuffer] = []
    again = pickle.dumps(packed, protocol=5, buffer_callback=buffers.append)
    assert len(again) < 1000
    assert packed.size > 1_000_000
    assert bytes(pickle.loads(again, buffers=buffers).value()) == bytes(1_000_000)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_340_000, "12.3 MB"), (5e9, "5.0 GB")],
)
def test_size_words(size: float, words: str) -> None:
    assert capture.size_words(size) == words
