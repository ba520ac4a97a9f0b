"""Jobs: how calls add up, which stage they are in, and what is remembered of them."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import pytest

from modalnb.exception import InputCancelledError
from modalnb.notebook.job import Job
from modalnb.notebook.job_calls import MAX_JOBS, CallView, Jobs
from modalnb.notebook.job_facts import CANCELLED, DONE, FAILED, QUEUED, RUNNING, line


def _job() -> Job:
    return Job("j1", "square", 3, "cell")


def _open(job: Job, total: int | None = 1, call_id: str = "fc-1") -> CallView:
    view = CallView(job, total)
    view.opened(call_id, lambda: None)
    return view


def _facts(running: list[int], **containers: int) -> dict[str, Any]:
    return {
        "running": len(running),
        "executing": running,
        "containers": containers,
        "ready_for": None if "booting" in containers else 0.0,
    }


def test_stages_of_a_call_that_boots_runs_and_ends() -> None:
    job = _job()
    view = _open(job)
    stages = [job.facts().stage]
    for running, containers in (([], {"booting": 1}), ([0], {"busy": 1})):
        job.see({"fc-1": _facts(running, **containers)})
        stages.append(job.facts().stage)
    assert job.facts().is_cold
    view.settled([(0, "ok", None)])
    stages.append(job.facts().stage)
    view.close()
    assert [*stages, job.stage] == ["queued", "booting", "running", "running", "done"]
    assert job.facts().cold_share is not None


@pytest.mark.parametrize(
    ("error", "stage"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (asyncio.CancelledError(), "interrupted"),
        (builtins.TimeoutError(), "interrupted"),
        (InputCancelledError("x"), "cancelled"),
        (ValueError(), "failed"),
    ],
)
def test_stage_says_what_ended_the_wait(error: BaseException, stage: str) -> None:
    job = _job()
    _open(job).close(error)
    assert job.stage == stage


def test_failed_input_makes_a_failed_job_but_not_among_good_ones() -> None:
    job = _job()
    view = _open(job)
    view.settled([(0, "error", None)])
    view.close()
    assert job.stage == "failed"
    other = _job()
    view = _open(other, 2)
    view.settled([(0, "error", None), (1, "ok", None)])
    view.close()
    assert other.stage == "done"
    assert "done 1 of 2, 1 failed" in line(other.facts())


def test_calls_of_one_cell_add_up() -> None:
    job = _job()
    first, second = _open(job, 2), _open(job, 3, "fc-2")
    first.settled([(1, "ok", None)])
    second.settled([(0, "error", None), (2, "cancelled", None)])
    job.see({"fc-1": _facts([0], busy=1), "fc-2": _facts([1], busy=1)})
    facts = job.facts()
    assert facts.marks == bytes([RUNNING, DONE, FAILED, RUNNING, CANCELLED])
    assert (facts.total, facts.done, facts.failed, facts.cancelled, facts.running) == (
        5,
        1,
        1,
        1,
        2,
    )


def test_unknown_total_grows_with_what_is_read() -> None:
    job = _job()
    view = _open(job, None)
    view.show(received=0, added=3, is_fed=False)
    assert job.facts().total is None
    assert job.facts().marks == bytes([QUEUED] * 3)
    assert job.facts().eta is None


def test_inputs_without_outcome_are_cancelled_at_the_end() -> None:
    job = _job()
    view = _open(job, 3)
    view.settled([(0, "ok", None)])
    view.close(KeyboardInterrupt())
    assert job.facts().marks == bytes([DONE, CANCELLED, CANCELLED])
    assert "interrupted after 1 of 3" in line(job.facts())


def test_job_reopens_when_its_cell_calls_again() -> None:
    job = _job()
    _open(job).close()
    assert job.is_ended
    _open(job, call_id="fc-2")
    assert not job.is_ended


def test_cancel_reaches_open_calls_and_those_about_to_open() -> None:
    job, cancelled = _job(), []
    early = CallView(job, 1)
    _open(job).close()
    view = CallView(job, 1)
    view.opened("fc-2", lambda: cancelled.append("late"))
    job.cancel()
    early.opened("fc-1", lambda: cancelled.append("early"))
    assert cancelled == ["late", "early"]


def test_logs_are_read_bit_by_bit() -> None:
    job = _job()
    job.keep([("c1", "stdout", "one\n"), ("c1", "display", "{}"), ("c2", "stderr", "two\n")])
    lines, seen = job.logs()
    assert [text for _, _, text in lines] == ["one\n", "two\n"]
    job.keep([("c1", "stdout", "\rthree")])
    lines, seen = job.logs(seen)
    assert [text for _, _, text in lines] == ["\rthree"]
    assert job.logs(seen) == ([], 3)
    assert job.facts().tail == ("one", "two", "three")


def test_notebook_remembers_a_bounded_number_of_jobs() -> None:
    jobs = Jobs()
    running = jobs.add(Job(jobs.next_id(), "f", 1, "cell"))
    CallView(running, 1)
    for _ in range(MAX_JOBS + 50):
        job = jobs.add(Job(jobs.next_id(), "f", 1, "cell"))
        job.finish(None)
    assert len(list(jobs)) == MAX_JOBS
    assert jobs.get(running.job_id) is running
    assert jobs.get("j2") is None
    assert jobs.of("f", "cell") is job


def test_what_booted_when_it_was_last_seen_made_a_cold_start() -> None:
    """A job may end before it is seen again."""
    job = _job()
    view = _open(job)
    job.see({"fc-1": _facts([], booting=1)})
    view.settled([(0, "ok", None)])
    view.close()
    assert job.facts().is_cold
    assert "booting" not in line(job.facts())
    assert "inputs/s" not in line(job.facts())
