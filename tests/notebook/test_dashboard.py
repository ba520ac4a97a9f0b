"""The dashboard without a page: its forms, its controls, its end, and what it leaves behind."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from typing import Any

import ipywidgets
import psutil
import pytest

import modalnb
from modalnb.api import current, watching
from modalnb.notebook import dashboard as module
from modalnb.notebook.dashboard import Dashboard
from modalnb.notebook.mode import VARIABLE
from modalnb.notebook.render import NO_GPU

WIDGET = "application/vnd.jupyter.widget-view+json"
Wait = Callable[..., None]


@pytest.fixture
def shown(app: modalnb.App, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Shows the dashboard of an app with one function in a form; closes it in the end."""

    @app.function(max_containers=2, scaledown_window=60, cpu=0.1)
    def work(x: int) -> int:
        print("works on", x)
        return x

    opened: list[Dashboard] = []

    def show(form: str) -> tuple[Dashboard, dict[str, Any]]:
        monkeypatch.setenv(VARIABLE, form)
        board = app.dashboard(rate=1.0)
        opened.append(board)
        return board, board._repr_mimebundle_()

    yield show
    for board in opened:
        board.close()


def _work(app: modalnb.App) -> Any:
    return app.registered_functions["work"]


def _face(board: Dashboard) -> Any:
    assert board._face is not None
    return board._face


def test_text_form_is_lines_with_all_that_is_known(app: modalnb.App, shown: Any) -> None:
    _work_done = app.registered_functions["work"].remote(1)
    board, bundle = shown("text")
    assert list(bundle) == ["text/plain"]
    assert bundle["text/plain"].splitlines()[0] == "App test-app"
    assert "work: 1 container" in bundle["text/plain"]
    assert bundle["text/plain"].endswith(NO_GPU)
    assert board.to_text().splitlines()[0] == "App test-app"


def test_still_form_has_a_picture_and_a_text_that_stays_the_same(
    app: modalnb.App, shown: Any
) -> None:
    board, first = shown("html")
    _work(app).remote(1)
    _, second = shown("html")
    assert list(first) == ["text/plain", "text/html"]
    assert first["text/plain"] == second["text/plain"] == "<Dashboard of test-app: work>"
    assert "<svg" in second["text/html"]
    assert "1 container" in board.to_html()


def test_widget_form_carries_picture_and_text_too(shown: Any) -> None:
    for form in ("live", "basic"):
        board, bundle = shown(form)
        assert set(bundle) == {"text/plain", "text/html", WIDGET}
        assert bundle["text/plain"] == repr(board)
        board.close()


def test_all_cells_show_the_same_dashboard(app: modalnb.App, shown: Any) -> None:
    board, _ = shown("live")
    again, bundle = shown("live")
    assert again is board
    assert bundle[WIDGET] == shown("live")[1][WIDGET]
    assert _work(app).panel() is not board
    assert _work(app).panel().history.shown()[0].function == "work"


def test_slider_acts_at_once_and_once(app: modalnb.App, shown: Any, wait_until: Wait) -> None:
    board, _ = shown("live")
    face = _face(board)
    work = _work(app)
    parameters = face.controls.parameters
    wait_until(lambda: parameters["max_containers"].box.value == 2)
    parameters["min_containers"].slider.value = 3
    wait_until(lambda: work.snapshot().settings.min_containers == 3)
    assert work.snapshot().settings.max_containers == 3, "the other limit was pushed"
    wait_until(lambda: parameters["max_containers"].slider.value == 3)
    wait_until(lambda: parameters["min_containers"].box.value == 3)
    wait_until(lambda: "override 3" in parameters["min_containers"].origin.value)
    wait_until(lambda: work.snapshot().count("idle") == 3)
    marks = board.history.pools[work.snapshot().pool_id].marks
    changes = [mark.text for mark in marks if mark.kind == "settings"]
    assert changes == ["min_containers 0 → 3, max_containers 2 → 3"], "no echo became a wish"


def test_boxes_unlimited_undo_and_revert(app: modalnb.App, shown: Any, wait_until: Wait) -> None:
    board, _ = shown("basic")
    controls, work = _face(board).controls, _work(app)
    parameters = controls.parameters

    def settings() -> Any:
        return work.snapshot().settings

    wait_until(lambda: parameters["scaledown_window"].box.value == 60)
    parameters["scaledown_window"].box.value = 2.5
    wait_until(lambda: settings().scaledown_window == 2.5)
    wait_until(lambda: parameters["scaledown_window"].slider.value == 2.5)
    parameters["max_containers"].unlimited.value = True
    wait_until(lambda: settings().max_containers is None)
    wait_until(lambda: parameters["max_containers"].slider.disabled)
    parameters["max_containers"].unlimited.value = False
    wait_until(lambda: settings().max_containers == 2)
    buttons = {b.description: b for b in _tree(controls.widget) if hasattr(b, "click")}
    buttons["Undo"].click()
    wait_until(lambda: settings().max_containers is None)
    buttons["Revert"].click()
    wait_until(lambda: settings() == work.snapshot().static)
    buttons["Copy as code"].click()
    wait_until(lambda: "work.update_autoscaler(" in controls._status.value)


def _tree(widget: Any) -> list[Any]:
    return [widget, *(part for child in getattr(widget, "children", ()) for part in _tree(child))]


def test_change_from_elsewhere_moves_the_sliders(
    app: modalnb.App, shown: Any, wait_until: Wait
) -> None:
    board, _ = shown("live")
    parameters = _face(board).controls.parameters
    _work(app).update_autoscaler(buffer_containers=40)
    wait_until(lambda: parameters["buffer_containers"].slider.value == 40)
    assert parameters["buffer_containers"].slider.max >= 40


def test_refused_wish_is_told(app: modalnb.App, shown: Any, wait_until: Wait) -> None:
    board, _ = shown("basic")
    board._on_page("scaledown_window", 1e9)
    wait_until(lambda: "refused" in _face(board).controls._status.value)
    assert "3600 seconds" in _face(board).controls._status.value


def test_silent_page_becomes_a_picture_until_it_says_hello(
    app: modalnb.App, shown: Any, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELLO_SECONDS", 0.2)
    board, _ = shown("live")
    face = _face(board)
    wait_until(lambda: "<svg" in getattr(face.root.children[0], "value", ""))
    face.page._handle_custom_msg({"kind": "hello"}, [])
    wait_until(lambda: face.root.children[0] is face.page)
    face.page._handle_custom_msg("no message of ours", [])
    assert board._ticker.is_alive


def test_page_that_is_gone_ends_the_ticker_and_hello_starts_it(
    shown: Any, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, _ = shown("live")
    wait_until(lambda: board._ticker.is_alive)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    wait_until(lambda: not board._ticker.is_alive)
    monkeypatch.undo()
    _face(board).page._handle_custom_msg({"kind": "here"}, [])
    assert board._ticker.is_alive


def test_engine_that_does_not_answer_gives_no_tick(
    app: modalnb.App, shown: Any, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page tells from missing ticks that it is disconnected, so a stale one must not go out."""
    board, _ = shown("live")
    face = _face(board)
    face.page._handle_custom_msg({"kind": "hello"}, [])
    wait_until(lambda: board._is_connected)
    engine = psutil.Process(current.session().engine.pid)
    monkeypatch.setattr(watching, "ANSWER_SECONDS", 0.2)
    engine.suspend()
    try:
        wait_until(lambda: not board._look())
        sent: list[Any] = []
        monkeypatch.setattr(face, "send", sent.append)
        assert board._tick() is not None
        assert sent == []
    finally:
        engine.resume()
    wait_until(lambda: sent)


def test_stopped_app_ends_the_dashboard_and_the_next_call_goes_on(
    app: modalnb.App, shown: Any, wait_until: Wait
) -> None:
    board, _ = shown("live")
    _work(app).remote(1)
    app.stop()
    assert board.history.shown()[0].done == 1, "it has looked before the end"
    wait_until(lambda: board._face is None)
    wait_until(lambda: not board._ticker.is_alive)
    again, _ = shown("live")
    assert again is board
    wait_until(lambda: board._ticker.is_alive)
    _work(app).remote(2)
    wait_until(lambda: board.history.shown()[0].done == 1)


@pytest.mark.parametrize("rate", [-1, True, "much", float("inf")])
def test_rate_that_is_no_price_is_refused(app: modalnb.App, rate: Any) -> None:
    with pytest.raises(modalnb.exception.InvalidError, match="`rate` must be a number"):
        app.dashboard(rate=rate)


def test_rate_can_be_told_later(app: modalnb.App, shown: Any) -> None:
    board, _ = shown("html")
    assert "at 1 a container-hour" in board.to_text()
    assert app.dashboard(rate=7.5) is board
    assert "at 7.5 a container-hour" in board.to_html()
    assert app.dashboard().to_text().count("at 7.5") == 1


def test_closing_leaves_no_widget_thread_nor_dashboard(
    app: modalnb.App, shown: Any, wait_until: Wait
) -> None:
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    for form in ("live", "basic"):
        for _ in range(3):
            board, bundle = shown(form)
            assert bundle[WIDGET]["model_id"] in _instances
            board.close()
            wait_until(lambda board=board: not board._ticker.is_alive)
    gc.collect()
    assert set(_instances) - before == set()
    assert isinstance(ipywidgets.Widget, type)


def test_many_shows_of_one_dashboard_make_no_more_widgets(shown: Any) -> None:
    from ipywidgets.widgets.widget import _instances

    shown("live")
    count = len(_instances)
    for _ in range(20):
        shown("live")
    assert len(_instances) == count


def test_widgets_have_names_for_people_who_do_not_see(shown: Any) -> None:
    board, _ = shown("live")
    labels = [part.value for part in _tree(_face(board).root) if type(part) is ipywidgets.HTML]
    for name in ("min containers", "max containers", "buffer containers", "scaledown window"):
        assert any(re.match(name, label) for label in labels)
