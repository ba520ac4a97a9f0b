"""Streams whose elements are large, or whose container dies: every element once, in order."""

from __future__ import annotations

from collections.abc import Iterator

import modalnb

ELEMENT_BYTES = 4 * 2**20


def test_large_elements_fill_the_window_and_the_stream_goes_on(app: modalnb.App) -> None:
    """Fewer elements fill the window by their bytes than are counted before one is told."""

    @app.function()
    def blocks(count: int) -> Iterator[bytes]:
        for n in range(count):
            yield bytes([n]) * ELEMENT_BYTES

    assert [block[0] for block in blocks.remote_gen(12)] == list(range(12))
