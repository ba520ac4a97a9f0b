"""The widgets of one dashboard: charts beside controls, or a picture where charts cannot live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from modalnb.notebook.controls import Controls, close, tree, write

#: Everything that comes from the page: what it is, and its value.
Ask = Callable[[str, Any], None]


class Face:
    """Built in the cell that shows it; from then on only the dashboard's ticker writes to it."""

    def __init__(self, ask: Ask, style: str, *, is_live: bool) -> None:
        self._ask = ask
        self.controls = Controls(ask)
        self.page: Any = None
        self._picture = w.HTML()
        left: Any = self._picture
        if is_live:
            from modalnb.notebook.page import Page

            left = self.page = Page()
            self.page.on_msg(self._on_message)
            self.page.observe(self._on_selected, "selected")
        left.add_class("modalnb-left")
        self._style = w.HTML(f"<style>{style}</style>")
        self.root = w.Box([left, self.controls.widget, self._style])
        self.root.add_class("modalnb-root")
        self.unpin()

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("kind"), str):
            self._ask(content["kind"], content.get("container"))

    def _on_selected(self, change: dict[str, Any]) -> None:
        self._ask("select", change["new"])

    def unpin(self) -> None:
        """After each write: see :func:`.page.unpin`."""
        if self.page is not None:
            from modalnb.notebook.page import unpin

            for part in tree(self.root):
                unpin(part)

    def use_picture(self, html: str) -> None:
        """Show a picture in the place of the charts."""
        write(self._picture, value=html)
        self._use(self._picture)

    def use_page(self) -> None:
        """Show the charts; the page has said that it can."""
        self._use(self.page)

    def _use(self, left: Any) -> None:
        left.add_class("modalnb-left")
        write(self.root, children=(left, self.controls.widget, self._style))

    def send(self, message: dict[str, Any]) -> None:
        """Send to the charts in the page."""
        self.page.send(message)

    def close(self) -> None:
        """Take everything away, from the pages too."""
        close(self.root)
        for part in (self._picture, self.page):
            if part is not None:
                close(part)
