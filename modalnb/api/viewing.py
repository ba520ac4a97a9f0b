"""Where a front end puts in how it shows calls: from their first input to their last result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class View:
    """Shows one call while it lasts; this one shows nothing.

    Its methods are called from several threads and must not block.
    """

    def opened(self, call_id: str, cancel: Callable[[], None]) -> None:
        """The call is on its way; `cancel` cancels what of it has no result."""

    def printed(self, lines: list[tuple[str, str, str]]) -> None:
        """(container id, stream, text) tuples were printed on behalf of the call."""

    def settled(self, outputs: list[tuple[int, str, Any]]) -> None:
        """(index, status, payload) tuples have arrived."""

    def waits_for(self, limit: str, maximum: int) -> None:
        """Inputs wait because a limit is reached."""

    def advance(self) -> None:
        """One more result was taken."""

    def show(self, *, received: int, added: int, is_fed: bool) -> None:
        """The caller waits; so many results have come for so many inputs."""

    def close(self, error: BaseException | None = None) -> None:
        """Nobody waits for the call any more; `error` is what ended the wait, if not a result."""

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.close(error)


NOTHING = View()

#: Makes the view of a call from the name of its function, its number of inputs if that is known,
#: and the view that it would have otherwise.  A notebook's extension sets it.
make: Callable[[str, int | None, View], View] | None = None


def of_call(function: str, count: int = 1) -> View:
    """The view of a call of one input, or of so many."""
    return NOTHING if make is None else make(function, count, NOTHING)
