"""The live part of a dashboard in the page: one anywidget whose script draws what it is sent."""

from __future__ import annotations

import contextlib
from typing import Any

import anywidget
import traitlets

from modalnb.notebook.render import CSS, STATIC

#: One text, since a script that came as text can import no other.
ESM = "\n".join(
    (STATIC / name).read_text(encoding="utf-8") for name in ("store.js", "charts.js", "view.js")
)


class Page(anywidget.AnyWidget):
    """Charts and containers; it says hello when it is there, and is sent the rest."""

    _esm = ESM
    _css = CSS

    #: The id of the pool that is looked at, the same in all views.
    selected = traitlets.Unicode("").tag(sync=True)


def unpin(widget: Any) -> None:
    """Let messages of the page come in while a cell runs.

    From version 7.4 on ipykernel sends what comes for a widget to the thread that last published
    on it, which for one made in a cell is the thread that runs cells.  Without that note, the page
    decides, and it asks for a thread beside.
    """
    with contextlib.suppress(AttributeError):
        vars(widget.comm).pop("_reply_subshell_id", None)
