"""Where a dashboard was shown: outputs of cells that can be brought up to date later."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any

#: Outputs that are kept up to date; what was shown before them stays as it is.
MAX_OUTPUTS = 20


class Shown:
    """Outputs under display ids, which may be replaced from any thread and long after their cell.

    What a notebook saves is what was sent last, so the last thing to send is a result that can be
    read without a kernel.
    """

    def __init__(self) -> None:
        self._handles: deque[Any] = deque(maxlen=MAX_OUTPUTS)

    def __bool__(self) -> bool:
        return bool(self._handles)

    def show(self, bundle: dict[str, Any]) -> None:
        """Show in the running cell."""
        from IPython.display import display

        self._handles.append(display(bundle, raw=True, display_id=True))

    def update(self, bundle: dict[str, Any]) -> None:
        """Show this in all places instead."""
        for handle in list(self._handles):
            # The kernel may be on its way out.
            with suppress(Exception):
                handle.update(bundle, raw=True)
