"""Watches the jobs of a notebook from one thread, and keeps a card for each that lasts."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any, Literal

from modalnb.api import current, printing
from modalnb.api.viewing import NOTHING, View
from modalnb.api.waiting import answer_of
from modalnb.configuration import config
from modalnb.exception import Error
from modalnb.notebook.cards import Card
from modalnb.notebook.job import Job
from modalnb.notebook.job_calls import CallView, Jobs
from modalnb.notebook.mode import is_attended, mode

#: Calls that are over before show no card.
PATIENCE_SECONDS = 0.3
TICK_SECONDS = 0.25
#: A card without calls freezes after so long, or at the end of its cell.
LINGER_SECONDS = 1.0
ANSWER_SECONDS = 2.0

CardMode = Literal["widgets", "plain", "none"]


def card_mode(shell: Any) -> CardMode:
    """How cards are shown: with widgets, as HTML that is replaced, or not at all."""
    is_off = not config.progress or os.environ.get("MODALNB_NONINTERACTIVE", "0") != "0"
    if is_off or getattr(shell, "kernel", None) is None:
        return "none"
    form = mode()
    if form == "text":
        return "none"
    return "widgets" if form in ("live", "basic") and is_attended(shell) else "plain"


class Board:
    """The jobs of a notebook and their cards.

    One daemon thread asks the plane about all jobs under way, at most four times a second, and
    draws their cards; it starts with the first job and sleeps while there is none.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.jobs = Jobs()
        self._active: list[Job] = []
        self._cards: dict[str, Card] = {}
        self._changed = threading.Condition()
        self._is_parked = False
        self._thread: threading.Thread | None = None
        self._is_closed = False

    # -- jobs ------------------------------------------------------------------------------

    def view(self, function: str, total: int | None, usual: View) -> View:
        """The view of one call: a part of the job of its function in the running cell."""
        cell_id = self.cell_id()
        job = self.jobs.of(function, cell_id)
        if job is None:
            job_id = self.jobs.next_id()
            job = self.jobs.add(Job(job_id, function, self._shell.execution_count, cell_id))
            job.parent, job.patience = printing.running_cell(), PATIENCE_SECONDS
        job.mode = card_mode(self._shell)
        self._note_engine(job)
        view = CallView(job, total, usual if job.mode == "none" else NOTHING)
        self.watch(job)
        return view

    def cell_id(self) -> str:
        """What tells the running cell from others."""
        parent = printing.running_cell()
        header = parent.get("header", {}) if parent else {}
        return str(header.get("msg_id", self._shell.execution_count))

    def watch(self, job: Job) -> None:
        """Look after a job until it is over."""
        with self._changed:
            if job not in self._active:
                self._active.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="modalnb-cards", daemon=True)
                self._thread.start()
            elif self._is_parked:
                self._changed.notify()

    def show(self, job: Job) -> None:
        """Show the card of a job now; it is watched from now on."""
        self._note_engine(job)
        if job.mode != "none":
            self._card(job).draw(job.facts())
        self.watch(job)

    @staticmethod
    def _note_engine(job: Job) -> None:
        session = current.session()
        if session is None or not session.is_open:
            job.note_cold()

    def end_cell(self, *_: Any) -> None:
        """The running cell has ended: freeze the cards of what has ended with it."""
        for job in list(self._active):
            if job.is_ended and job.cell_id == self.cell_id():
                self.retire(job)

    def close(self) -> None:
        """Freeze all cards as they are and stop the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        for job in list(self._active):
            self.retire(job)

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_parked = not self._active
                self._changed.wait(None if self._is_parked else TICK_SECONDS)
                self._is_parked = False
                if self._is_closed:
                    return
            # A front end that is gone or an engine that ends must not stop the next tick.
            with suppress(Exception):
                self._tick()

    def _tick(self) -> None:
        jobs = list(self._active)
        self._ask(jobs)
        for job in jobs:
            if job.is_ended:
                if job.seconds_since_end > LINGER_SECONDS:
                    self.retire(job)
            elif job.mode != "none" and job.longest_call > job.patience:
                self._card(job).draw(job.facts())

    @staticmethod
    def _ask(jobs: list[Job]) -> None:
        """Ask the plane how far they are; what it does not know is left as it was."""
        session = current.session()
        call_ids = [call_id for job in jobs for call_id in job.calls]
        if session is None or not session.is_open or not call_ids:
            return
        with suppress(Error, TimeoutError):
            facts = answer_of(session.stub.ask("progress", call_ids=call_ids), ANSWER_SECONDS)
            for job in jobs:
                job.see({call_id: facts[call_id] for call_id in job.calls if call_id in facts})

    def _card(self, job: Job) -> Card:
        card = self._cards.get(job.job_id)
        if card is None:
            has_widgets = job.mode == "widgets"
            card = self._cards[job.job_id] = Card(job, job.parent, has_widgets=has_widgets)
        return card

    def retire(self, job: Job) -> None:
        """Freeze the card of a job, which is over."""
        with self._changed:
            if job not in self._active:
                return
            self._active.remove(job)
        if job.job_id in self._cards or (job.mode != "none" and job.stage == "interrupted"):
            self._card(job).freeze(job.facts())
        for known in list(self._cards):
            if self.jobs.get(known) is None:
                del self._cards[known]
