"""Cards: all that they say is there, escaped, and they hold nothing that must be fetched."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from modalnb.notebook import card_html
from modalnb.notebook.job_facts import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    JobFacts,
    line,
    seconds_words,
)

RUNNING_MAP = JobFacts(
    job_id="j7",
    function="<square>",
    stage="running",
    total=200,
    added=200,
    running=4,
    done=40,
    failed=2,
    containers={"busy": 4, "booting": 1},
    elapsed=11.0,
    waited=1.0,
    is_cold=True,
    note="Inputs wait for pending inputs below 2,000.",
    tail=("working & waiting",),
    marks=bytes([DONE] * 40 + [FAILED] * 2 + [RUNNING] * 4 + [QUEUED] * 154),
)


def test_card_says_all_of_it() -> None:
    shown = card_html.card(RUNNING_MAP)
    text = re.sub(r"<[^>]+>", "|", shown)
    for words in (
        "&lt;square&gt;",
        "running 42 of 200",
        "4 running",
        "154 pending",
        "2 failed",
        "5 containers (1 booting)",
        "11 s",
        "cold start 1.0 s (9%)",
        "4.2 inputs/s",
        "38 s left",
        "j7",
        "working &amp; waiting",
        "Inputs wait for",
    ):
        assert words in text, words
    assert "://" not in shown
    ElementTree.fromstring(shown)


def test_line_says_it_in_text() -> None:
    assert line(RUNNING_MAP) == (
        "j7 <square>: running 42 of 200, 4 running, 154 pending, 2 failed, "
        "5 containers (1 booting), 11 s, cold start 1.0 s (9%), 4.2 inputs/s, 38 s left. "
        "Inputs wait for pending inputs below 2,000."
    )


def test_frozen_card_has_no_tail_and_no_pending() -> None:
    done = JobFacts(job_id="j1", function="f", stage="done", total=2, added=2, done=2, tail=("x",))
    shown = card_html.card(done)
    assert "<pre" not in shown
    assert "pending" not in shown
    assert "done 2 of 2" in shown


def test_single_input_has_neither_bar_nor_grid() -> None:
    shown = card_html.card(JobFacts(job_id="j1", function="f", stage="booting", total=1, added=1))
    assert "svg" not in shown
    assert "progressbar" not in shown


@pytest.mark.parametrize(
    ("part", "mark"),
    [
        ([DONE, DONE], DONE),
        ([QUEUED, QUEUED], QUEUED),
        ([DONE, QUEUED], RUNNING),
        ([RUNNING, QUEUED], RUNNING),
        ([FAILED, RUNNING], FAILED),
        ([CANCELLED, DONE], CANCELLED),
    ],
)
def test_groups_show_what_matters_most(part: list[int], mark: int) -> None:
    assert card_html.summarise(bytes(part), 2, 2) == [mark]


def test_many_inputs_share_squares() -> None:
    grid = card_html.grid(bytes([DONE] * 100), 1_000_000)
    assert "A square is 3,334 inputs" in grid
    assert grid.count("z") + grid.count("h2v2") <= 2 * card_html.MAX_SQUARES + 10
    assert len(grid) < 10_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0004, "0 ms"),
        (0.042, "42 ms"),
        (0.0996, "0.1 s"),
        (9.94, "9.9 s"),
        (59.6, "60 s"),
        (185, "3 min 5 s"),
        (7300, "2 h 1 min"),
    ],
)
def test_seconds_words(seconds: float, words: str) -> None:
    assert seconds_words(seconds) == words


def test_facts_as_plain_values() -> None:
    facts = RUNNING_MAP.to_dict()
    assert (facts["done"], facts["rate"], facts["tail"]) == (40, 4.2, ["working & waiting"])
    assert "marks" not in facts
