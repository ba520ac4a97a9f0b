"""Job cards: they live in the cell while a job runs, and freeze into plain HTML when it ends."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import Any

from modalnb.api import printing
from modalnb.notebook import card_html
from modalnb.notebook.job import Job
from modalnb.notebook.job_facts import JobFacts, line

#: Front ends without widgets get a new card so often.
PLAIN_SECONDS = 2.0
#: What is read where no widget can be shown, such as in a notebook whose kernel ended meanwhile.
FALLBACK = (
    "Live where widgets work; it freezes here when the job ends, unless its kernel ends first."
)


class Card:
    """The card of one job in the output of one cell.

    It is one output with a display id: a widget with a Cancel button while the job runs where
    somebody can press it, HTML and text in any case.  Its widgets are closed when it freezes, so
    that nothing of them is saved with the notebook.
    """

    def __init__(self, job: Job, parent: Any, *, has_widgets: bool) -> None:
        self.job = job
        self._parent = parent
        self._has_widgets = has_widgets
        self._display_id = f"modalnb-{uuid.uuid4().hex[:12]}"
        self._is_shown = False
        self._live: _LiveCard | None = None
        self._shown_at = 0.0
        self._lock = threading.Lock()

    def draw(self, facts: JobFacts) -> None:
        """Show the job as it is."""
        with self._lock:
            if self._has_widgets and self._live is None:
                self._live = _LiveCard(self.job)
                self._publish(replace(facts, note=FALLBACK), self._live.bundle())
            elif self._live is not None:
                self._live.draw(facts)
            elif not self._is_shown or facts.elapsed - self._shown_at > PLAIN_SECONDS:
                self._shown_at = facts.elapsed
                self._publish(facts)

    def freeze(self, facts: JobFacts) -> None:
        """Show how the job ended, as it shall be saved."""
        with self._lock:
            live, self._live = self._live, None
            self._publish(facts)
            if live is not None:
                live.close()

    def _publish(self, facts: JobFacts, extra: dict[str, Any] | None = None) -> None:
        bundle = {"text/plain": line(facts), "text/html": card_html.card(facts), **(extra or {})}
        printing.show_rich(
            {
                "data": bundle,
                "metadata": {},
                "transient": {"display_id": self._display_id},
                "update": self._is_shown,
            },
            self._parent,
        )
        self._is_shown = True


class _LiveCard:
    """The widgets of a card: its HTML, which one thread draws, and a button, which nobody does.

    Two widgets, since whoever writes to one draws its messages to his own thread.
    """

    def __init__(self, job: Job) -> None:
        import ipywidgets

        self._html = ipywidgets.HTML(card_html.card(job.facts()))
        self._button = ipywidgets.Button(
            description="Cancel",
            tooltip=f"Cancel job {job.job_id}",
            layout=ipywidgets.Layout(width="80px", height="26px"),
        )
        self._button.on_click(lambda _: job.cancel())
        self._box = ipywidgets.VBox([self._html, self._button])
        unpin(self._button)

    def bundle(self) -> dict[str, Any]:
        """The view of the widgets, for a display."""
        bundle = self._box._repr_mimebundle_()
        return {kind: data for kind, data in bundle.items() if kind != "text/plain"}

    def draw(self, facts: JobFacts) -> None:
        """Show the job as it is."""
        self._html.value = card_html.card(facts)

    def close(self) -> None:
        """Close every model, since closing the box alone would leave the others behind."""
        for widget in (self._html, self._button, self._box):
            for part in (getattr(widget, "style", None), widget.layout, widget):
                if part is not None:
                    part.close()


def unpin(widget: Any) -> None:
    """Let messages of a widget come in on whichever thread is free, also during a busy cell.

    ipykernel 7.4 sends them to the thread that wrote to the widget last, which may be the one that
    the cell keeps busy; versions that have no such rule have nothing to forget.
    """
    with suppress(AttributeError):
        widget.comm.__dict__.pop("_reply_subshell_id", None)
