"""The dashboard of an app and the panel of a function: what is seen, and the way back in."""

from __future__ import annotations

import math
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modalnb.api.watching import Watch
from modalnb.exception import Error, InvalidError
from modalnb.notebook import render, text, words
from modalnb.notebook.helm import Helm
from modalnb.notebook.history import History
from modalnb.notebook.mode import Mode, mode
from modalnb.notebook.shown import Shown
from modalnb.notebook.ticking import Pace, Ticker, is_process_ending
from modalnb.notebook.wire import Wire
from modalnb.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from modalnb.notebook.face import Face

#: Charts that have not said hello by then cannot live where they are shown.
HELLO_SECONDS = 3.0
#: When no page has been heard for so long, there is none.
PATIENCE_SECONDS = 60.0
PICTURE_SECONDS = 1.0
#: From one picture for the saved notebook to the next, beside a live view.
SAVE_SECONDS = 10.0
#: The same when nothing more happens.
QUIET_SECONDS = 2.0
LOG_LINES = 200


class Dashboard:
    """A live view of an app; show it as the last expression of a cell.

    It looks by itself for as long as a page shows it, at most four times a second.  Where widgets
    cannot live it is a picture, and text in a terminal.

    Attributes
    ----------
    history : History
        What has been seen so far.
    """

    def __init__(self, watch: Watch, *, only: str | None = None) -> None:
        self._watch = watch
        self._rate: float | None = None
        self.history = History(only)
        self._wire = Wire(self.history)
        #: Guards history and wire: cells and the ticker use them.
        self._lock = threading.Lock()
        self._face: Face | None = None
        self._ticker = Ticker(self._tick)
        self._pace = Pace()
        self._helm = Helm(self._update)
        #: What came from pages, in the order of coming: (what, value).
        self._inbox: deque[tuple[str, Any]] = deque(maxlen=1_000)
        self._selected = only or ""
        self._is_connected = False
        self._is_patient = False
        self._heard_at = self._shown_at = time.monotonic()
        self._drawn_at = 0.0
        self._end = ""
        self._shown = Shown()
        #: The class of pictures of this dashboard, to hide them beside its live view.
        self._mark = f"modalnb-saved-{zlib.crc32(f'{watch.app_id} {only}'.encode()):08x}"
        self._listen()

    # -- showing -------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Show the live view, and beside it the picture that is saved with the notebook."""
        from IPython.display import display

        kind = mode()
        self._look()
        if kind == "text":
            display({"text/plain": self._text()}, raw=True)
        else:
            self._shown.show(self._view(kind), self._picture())
            self._ticker.wake()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        kind = mode()
        self._look()
        if kind == "text":
            return {"text/plain": self._text()}
        return {**(self._view(kind) or {}), **self._picture(is_alone=True)}

    def _view(self, kind: Mode) -> dict[str, Any] | None:
        """The bundle of the widgets, which are made at first use; the ticker takes over then."""
        if kind == "html" or self._end:
            return None
        if self._face is None:
            from modalnb.notebook.face import Face

            style = f"{render.CSS}.{self._mark} {{ display: none; }}"
            self._face = Face(self._on_page, style, is_live=kind == "live")
        self._shown_at = self._heard_at = time.monotonic()
        self._ticker.wake()
        bundle: dict[str, Any] = self._face.root._repr_mimebundle_()
        return {**bundle, "text/plain": repr(self)}

    def _picture(self, *, is_alone: bool = False) -> dict[str, Any]:
        """What can be read without a kernel; the style of the widgets hides it beside them."""
        html = self._html()
        if not is_alone:
            html = render.behind(html, self._mark, has_view=self._face is not None)
        return {"text/plain": repr(self), "text/html": html}

    def _html(self, *, with_style: bool = True) -> str:
        with self._lock:
            return render.dashboard_html(self.history, rate=self._rate, with_style=with_style)

    def _text(self) -> str:
        with self._lock:
            return text.dashboard_text(self.history, rate=self._rate)

    def __repr__(self) -> str:
        with self._lock:
            snapshot = self.history.latest
            names = ", ".join(pool.function for pool in self.history.shown())
        name = (snapshot.name or snapshot.app_id) if snapshot else self._watch.app_id
        return f"<Dashboard of {name}: {names or 'no functions'}>"

    def set_rate(self, rate: float) -> None:
        """Say what a container costs in an hour."""
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < math.inf:
            raise InvalidError(
                f"`rate` must be a number of at least 0; got {rate!r}. Give the price of an hour."
            )
        self._rate = self._wire.rate = rate

    def to_html(self) -> str:
        """What is known now as self-contained HTML, for a file or a report."""
        self._look()
        return self._html()

    def to_text(self) -> str:
        """What is known now as plain text."""
        self._look()
        return self._text()

    def close(self) -> None:
        """End the live view: where it was shown stays a picture of what was seen."""
        self._look()
        self._end = "closed"
        self._ticker.wake()

    def _before_stop(self) -> None:
        self._look()
        self._shown.save(self._picture())

    # -- looking -------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Take in how things are now; False if the engine does not say, or has ended."""
        try:
            look = self._watch.look()
        except Error as error:
            if not self._watch.is_open or "has been stopped" in str(error):
                self._end = self._end or str(error)
            return False
        with self._lock:
            self.history.clock = time.time() - look.snapshot.taken_at
            self.history.add(look.snapshot, look.marks)
        return True

    def _update(self, pool_id: str, values: Mapping[str, Any]) -> None:
        self._watch.update(pool_id, values)

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._end == "closed"

    def look_at(self, watch: Watch) -> None:
        """Go on, with another engine if that of before has ended."""
        if self._end:
            self._watch, self._end = watch, ""
            self._listen()
        self._look()

    def _listen(self) -> None:
        """Have a last look before the app is stopped, without being kept alive for that."""
        before_stop = weakref.WeakMethod(self._before_stop)
        self._watch.before_stop = lambda: (method := before_stop()) and method()

    def _tick(self) -> float | None:
        """One round of the ticker: do what was asked for, look, show; None if nobody looks."""
        face, news = self._face, False
        if face is not None and not self._end:
            news = self._answer(face)
            self._steer(face)
        is_answered = self._look()
        if is_process_ending():
            return None
        if self._end:
            self._finish()
            return None
        if not is_answered:
            # Without an answer there is no tick either, which pages take for what it is.
            return self._pace.follow(is_news=False)
        if face is None:
            return self._tick_picture()
        news |= self._show(face)
        face.unpin()
        is_lonely = self._is_lonely()
        every = 0.0 if is_lonely else SAVE_SECONDS if news else QUIET_SECONDS
        self._shown.save_soon(self._picture, is_news=news, every=every)
        if is_lonely:
            return None
        pause = self._pace.follow(is_news=news)
        return min(pause, self._helm.wait) if self._helm.wishes else pause

    def _tick_picture(self) -> float | None:
        """The same where there are no widgets."""
        if not self._shown or self.history.latest is None:
            return None
        with self._lock:
            _, is_news = self._wire.delta(every=PICTURE_SECONDS)
        self._shown.save_soon(self._picture, is_news=is_news, every=PICTURE_SECONDS)
        return PICTURE_SECONDS

    def _finish(self) -> None:
        """There is nothing more to see: the picture stays, and the widgets go."""
        face, self._face = self._face, None
        self._is_connected = False
        self._shown.end(self._picture(is_alone=True))
        if face is not None:
            face.close()

    def _is_lonely(self) -> bool:
        """Whether there was no sign of a page for so long that there can be none."""
        face = self._face
        if face is None:
            return True
        is_heard = time.monotonic() - self._heard_at < PATIENCE_SECONDS
        return face.page is not None and not is_heard and not self._is_patient

    # -- from the page -------------------------------------------------------------------------

    def _on_page(self, what: str, value: Any) -> None:
        """Something came from a page, on whatever thread; it must not wait nor print."""
        self._heard_at = time.monotonic()
        if what in words.PARAMETERS:
            self._helm.wishes.put(what, value)
        elif what != "here":
            self._inbox.append((what, value))
        if what == "hello":
            # Where cells hold up the page's messages, silence means nothing.
            self._is_patient = threading.current_thread() is threading.main_thread()
        if what != "here" or not self._ticker.is_alive:
            self._ticker.wake()

    def _answer(self, face: Face) -> bool:
        """Do what pages have asked for; True if anything was to do."""
        is_any = bool(self._inbox)
        while self._inbox:
            what, value = self._inbox.popleft()
            answer = _ANSWERS.get(what)
            if answer is not None:
                answer(self, face, value)
        return is_any

    def _answer_hello(self, face: Face, _: Any) -> None:
        self._is_connected = True
        face.use_page()
        with self._lock:
            if self.history.latest is None:
                return
            message = self._wire.state(every=self._pace.seconds)
        face.send(message)

    def _answer_log(self, face: Face, container_id: Any) -> None:
        try:
            lines = self._watch.tail(LOG_LINES, container_id=str(container_id))
        except Error:
            return
        shown = [(line[4], line[5]) for line in lines]
        face.send({"kind": "log", "container": container_id, "lines": shown})

    def _answer_select(self, face: Face, pool_id: Any) -> None:
        if pool_id in self.history.pools:
            self._selected = pool_id

    def _answer_copy(self, face: Face, _: Any) -> None:
        pool = self._pool()
        if pool is not None:
            code = words.as_code(pool)
            face.controls.say("copied; if your browser did not allow it, copy it here:", code=code)
            if face.page is not None:
                face.send({"kind": "copy", "text": code})

    def _answer_revert(self, face: Face, _: Any) -> None:
        self._turn(face, self._helm.revert)

    def _answer_undo(self, face: Face, _: Any) -> None:
        self._turn(face, self._helm.undo)

    # -- steering ------------------------------------------------------------------------------

    def _pool(self) -> PoolSnapshot | None:
        """The pool that is looked at."""
        with self._lock:
            shown = self.history.shown()
        chosen = (pool for pool in shown if pool.pool_id == self._selected)
        return next(chosen, shown[0] if shown else None)

    def _steer(self, face: Face) -> None:
        """Carry out what the controls have asked for, if it is time."""
        if self._helm.wishes and not self._helm.wait:
            self._turn(face, self._helm.turn)

    def _turn(self, face: Face, turn: Callable[[PoolSnapshot], str]) -> None:
        pool = self._pool()
        if pool is not None:
            face.controls.say(turn(pool))

    # -- writing to the widgets ----------------------------------------------------------------

    def _show(self, face: Face) -> bool:
        """Bring the widgets up to date; True if there was more to show than the time."""
        pool = self._pool()
        if pool is None:
            return False
        if not self._helm.wishes:
            with self._lock:
                shown = self.history.shown()
            face.controls.show(shown, pool)
        if face.page is None:
            return self._draw(face)
        if face.page.selected != pool.pool_id:
            face.page.selected = pool.pool_id
        if self._is_connected:
            with self._lock:
                message, is_news = self._wire.delta(every=self._pace.seconds)
            face.send(message)
            return is_news
        if time.monotonic() - self._shown_at > HELLO_SECONDS:
            return self._draw(face)
        return True

    def _draw(self, face: Face) -> bool:
        """The picture, at its own pace."""
        now = time.monotonic()
        if now - self._drawn_at >= PICTURE_SECONDS:
            self._drawn_at = now
            face.use_picture(self._html(with_style=False))
        pool = self._pool()
        return pool is not None and pool.demand > 0


_ANSWERS: dict[str, Callable[[Dashboard, Face, Any], None]] = {
    "copy": Dashboard._answer_copy,
    "hello": Dashboard._answer_hello,
    "log": Dashboard._answer_log,
    "revert": Dashboard._answer_revert,
    "select": Dashboard._answer_select,
    "undo": Dashboard._answer_undo,
}
