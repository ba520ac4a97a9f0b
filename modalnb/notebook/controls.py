"""Sliders, boxes and buttons for the four parameters of an autoscaler, as plain ipywidgets.

Their callbacks run on whatever thread the kernel chooses, so they only pass on what was asked for;
all that is shown is written by one thread, the ticker of the dashboard.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as w

from modalnb.notebook import words
from modalnb.settings import MAX_SCALEDOWN_WINDOW
from modalnb.snapshot import PoolSnapshot

MOST_CONTAINERS = 100_000
#: The sliders' range; it grows with the values.
RANGE = 16
WINDOW_RANGE = 300.0

Ask = Callable[[str, Any], None]


class Parameter:
    """A slider and a box for one number, and how it came to be what it is."""

    def __init__(self, name: str, ask: Ask) -> None:
        self._name = name
        self._ask = ask
        self._shown: Any = None
        self.label = w.HTML(words.PARAMETERS[name])
        self.label.add_class("modalnb-parameter-name")
        self.origin = w.HTML()
        self.origin.add_class("modalnb-origin")
        head = w.HBox([self.label, self.origin])
        head.add_class("modalnb-parameter-head")
        if name == "scaledown_window":
            common: dict[str, Any] = {"min": 0.0, "continuous_update": False}
            self.slider = w.FloatSlider(max=WINDOW_RANGE, step=0.5, readout=False, **common)
            self.box = w.BoundedFloatText(max=MAX_SCALEDOWN_WINDOW, step=1.0, **common)
        else:
            least = int(name == "max_containers")
            common = {"min": least, "continuous_update": False}
            self.slider = w.IntSlider(max=RANGE, readout=False, **common)
            self.box = w.BoundedIntText(max=MOST_CONTAINERS, **common)
        parts = [self.slider, self.box]
        self.unlimited: Any = None
        if name == "max_containers":
            self.unlimited = w.Checkbox(description="unlimited", indent=False)
            self.unlimited.observe(self._on_unlimited, "value")
            parts.append(self.unlimited)
        for part in (self.slider, self.box):
            part.observe(self._on_value, "value")
        row = w.HBox(parts)
        row.add_class("modalnb-parameter-row")
        self.widget = w.VBox([head, row])
        self.widget.add_class("modalnb-parameter")

    def _on_value(self, change: dict[str, Any]) -> None:
        if change["new"] != self._shown:
            self._ask(self._name, change["new"])

    def _on_unlimited(self, change: dict[str, Any]) -> None:
        if change["new"] != (self._shown is None):
            self._ask(self._name, None if change["new"] else self.slider.value)

    def show(self, pool: PoolSnapshot) -> None:
        """Show what is in force, and what was declared if that is something else."""
        value, declared = getattr(pool.settings, self._name), getattr(pool.static, self._name)
        self._shown = value
        if self.unlimited is not None:
            write(self.unlimited, value=value is None)
            for part in (self.slider, self.box):
                write(part, disabled=value is None)
        if value is not None:
            if value > self.slider.max:
                write(self.slider, max=type(self.slider.max)(2 * value))
            write(self.slider, value=value)
            write(self.box, value=value)
        origin = f"declared {words.parameter(self._name, declared)}"
        if value != declared:
            origin = f"<b>override {words.parameter(self._name, value)}</b> · {origin}"
        write(self.origin, value=origin)


class Controls:
    """The controls of one pool, and which one that is.

    Parameters
    ----------
    ask : callable
        Gets the name of a parameter with its value, or of what a button wants: ``select`` (with
        a pool id), ``revert``, ``undo`` and ``copy``.
    """

    def __init__(self, ask: Ask) -> None:
        self._pool_id = ""
        self._ask = ask
        self._choice = w.Dropdown(description="Function")
        self._choice.observe(self._on_choice, "value")
        self.parameters = {name: Parameter(name, ask) for name in words.PARAMETERS}
        buttons = []
        for action, text, tip in (
            ("revert", "Revert", "Back to what the decorator declares"),
            ("undo", "Undo", "Back to what was in force before the last change made here"),
            ("copy", "Copy as code", "Copy the call that makes these settings"),
        ):
            button = w.Button(description=text, tooltip=tip)
            button.on_click(functools.partial(self._on_press, action))
            buttons.append(button)
        row = w.HBox(buttons)
        row.add_class("modalnb-buttons")
        self._status = w.HTML()
        self._status.add_class("modalnb-status")
        shown = [parameter.widget for parameter in self.parameters.values()]
        self.widget = w.VBox([self._choice, *shown, row, self._status])
        self.widget.add_class("modalnb-controls")

    def _on_choice(self, change: dict[str, Any]) -> None:
        if change["new"] not in (None, self._pool_id):
            self._ask("select", change["new"])

    def _on_press(self, action: str, _: Any) -> None:
        self._ask(action, None)

    def show(self, pools: list[PoolSnapshot], pool: PoolSnapshot) -> None:
        """Show what is in force for a pool, and which others there are."""
        options = tuple((each.function, each.pool_id) for each in pools)
        self._pool_id = pool.pool_id
        if self._choice.options != options:
            self._choice.options = options
        write(self._choice, value=pool.pool_id, disabled=len(options) < 2)
        for parameter in self.parameters.values():
            parameter.show(pool)

    def say(self, text: str, *, code: str = "") -> None:
        """Tell what came of the last wish."""
        shown = f"<pre>{html.escape(code)}</pre>" if code else ""
        write(self._status, value=f'<span role="status">{html.escape(text)}</span>{shown}')


def write(widget: Any, **values: Any) -> None:
    """Set what is not so already: what is not written needs not be sent."""
    for name, value in values.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)


def tree(widget: Any) -> Iterator[Any]:
    """A widget and all widgets inside it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def close(widget: Any) -> None:
    """Close a widget with all that belongs to it; `close` of ipywidgets leaves most behind."""
    for part in list(tree(widget)):
        for name in ("layout", "style"):
            if isinstance(belonging := getattr(part, name, None), w.Widget):
                belonging.close()
        part.close()
