"""Where a dashboard was shown: the live view, and the picture that a saved notebook keeps of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Bundle = dict[str, Any]

#: Outputs that are kept up to date; what was shown before them stays as it is.
MAX_OUTPUTS = 20
NOTHING: Bundle = {"text/html": "", "text/plain": ""}


class Shown:
    """Outputs under display ids, which may be replaced from any thread and long after their cell.

    A notebook saves what was sent last, and a live view is nothing without its kernel.  So each
    showing has two outputs: the view, and a picture that the view's style hides in its page.
    """

    def __init__(self) -> None:
        #: Views and pictures; there is no view where widgets cannot live.
        self._handles: deque[tuple[Any, Any]] = deque(maxlen=MAX_OUTPUTS)
        self._is_unsaved = False
        self._saved_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._handles)

    def show(self, view: Bundle | None, picture: Bundle) -> None:
        """Show in the running cell."""
        from IPython.display import display

        views = None if view is None else display(view, raw=True, display_id=True)
        self._handles.append((views, display(picture, raw=True, display_id=True)))

    def save(self, picture: Bundle) -> None:
        """Let notebooks save this picture."""
        self._is_unsaved, self._saved_at = False, time.monotonic()
        for _, handle in list(self._handles):
            _update(handle, picture)

    def save_soon(self, picture: Callable[[], Bundle], *, is_news: bool, every: float) -> None:
        """The same if there is anything new, but no more often than each so many seconds."""
        self._is_unsaved |= is_news
        if self._is_unsaved and time.monotonic() - self._saved_at >= every:
            self.save(picture())

    def end(self, picture: Bundle) -> None:
        """There will be no more: the picture takes the place of the view."""
        handles = list(self._handles)
        self._handles.clear()
        for view, handle in handles:
            _update(handle, picture)
            if view is not None:
                _update(view, NOTHING)


def _update(handle: Any, bundle: Bundle) -> None:
    # The kernel may be on its way out.
    with suppress(Exception):
        handle.update(bundle, raw=True)
