"""The other magics in a real IPython: what they show, change, complete and refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

import modalnb
import modalnb.notebook
from modalnb.exception import ExecutionError, InvalidError, NotFoundError

SQUARE = """
import modalnb as modal
app = modal.App("magics")

@app.function(max_containers=2)
def square(x):
    print("squaring", x)
    return x * x
"""


@pytest.fixture
def squares(shell: Any) -> Iterator[Any]:
    shell.run(SQUARE)
    yield shell
    shell.run("app.stop()")


def test_loading_twice_and_unloading_twice_is_harmless(shell: Any) -> None:
    magics = shell.ip.find_cell_magic("remote")
    shell.run("%load_ext modalnb")
    modalnb.load_ipython_extension(shell.ip)
    assert shell.ip.find_cell_magic("remote") == magics
    modalnb.unload_ipython_extension(shell.ip)
    modalnb.unload_ipython_extension(shell.ip)
    assert shell.ip.find_cell_magic("remote") is None
    with pytest.raises(ExecutionError, match="%load_ext modalnb"):
        modalnb.notebook.jobs()
    modalnb.load_ipython_extension(shell.ip)
    assert shell.ip.find_cell_magic("remote") is not None


def test_autoscaler_shows_settings_and_the_last_decision(squares: Any) -> None:
    squares.run("square.remote(1)")
    table = squares.run("%autoscaler square").result
    assert {row["setting"]: row["in_force"] for row in table} == {
        "min_containers": 0,
        "max_containers": 2,
        "buffer_containers": 0,
        "scaledown_window": 60.0,
    }
    assert "want" in repr(table)


def test_autoscaler_shows_before_and_after(squares: Any) -> None:
    table = squares.run("%autoscaler square --max-containers 3 --scaledown-window 5").result
    assert "max_containers    2 → 3" in repr(table)
    assert "scaledown_window  60 s → 5 s" in repr(table)
    assert "in force already" in repr(squares.run("%autoscaler square --max-containers 3").result)
    assert squares.run("square.snapshot().settings.max_containers").result == 3


def test_autoscaler_refuses_what_cannot_be(squares: Any) -> None:
    done = squares.run("%autoscaler square --min-containers 5")
    assert isinstance(done.error, InvalidError)
    assert "Did you mean `square`?" in squares.run("%autoscaler sqare").err
    assert "needs a function" in squares.run("%autoscaler").err


@pytest.mark.parametrize("body", ["inside = square.snapshot().settings", "1 / 0"])
def test_autoscaler_for_one_cell_restores_what_was_in_force(squares: Any, body: str) -> None:
    squares.run("%autoscaler square --buffer-containers 1")
    done = squares.run(f"%%autoscaler square --max-containers 0 --buffer-containers 2\n{body}")
    after = squares.run("square.snapshot().settings").result
    assert (after.max_containers, after.buffer_containers) == (2, 1)
    if body == "1 / 0":
        assert "----> 2 1 / 0" in done.out
        assert "run_cell_magic" not in done.out
    else:
        inside = squares["inside"]
        assert (inside.max_containers, inside.buffer_containers) == (None, 2)


def test_containers_lists_those_of_a_function(squares: Any) -> None:
    squares.run("square.remote(1)")
    table = squares.run("%containers square").result
    [row] = table.to_dict()
    assert (row["function"], row["state"], row["done"]) == ("square", "idle", 1)
    assert repr(table).splitlines()[0].split()[:3] == ["container", "function", "state"]
    assert "<table" in table._repr_html_()
    assert [facts["container"] for facts in modalnb.notebook.containers("square")] == [
        row["container"]
    ]


def test_jobs_counts_the_calls_of_each_cell(squares: Any) -> None:
    squares.run("square.remote(1); square.remote(2); list(square.map(range(3)))")
    *_, job = squares.run("%jobs").result
    assert (job["function"], job["stage"], job["done"]) == ("square", "done", 5)
    *_, same = modalnb.notebook.jobs()
    assert same["job_id"] == job["job_id"]
    assert modalnb.notebook.find_job(job["job_id"]).facts().done == 5
    with pytest.raises(NotFoundError, match="no job `j999`"):
        modalnb.notebook.find_job("j999")


def test_job_of_a_failed_call_says_so(squares: Any) -> None:
    squares.run("square.remote('x')")
    *_, job = squares.run("%jobs").result
    assert (job["stage"], job["failed"]) == ("failed", 1)


def test_logs_of_a_job_a_function_and_a_container(squares: Any) -> None:
    squares.run("square.remote(7)")
    assert squares.run("%logs").out == "squaring 7\n"
    assert "squaring 7\n" in squares.run("%logs square").out
    [container] = squares.run("%containers square").result
    shown = squares.run(f"%logs {container['container']}").out
    assert shown == f"[{container['container']}] squaring 7\n"
    assert modalnb.notebook.logs() == "squaring 7\n"
    assert "No job, container or function `nothing`" in squares.run("%logs nothing").err


def test_followed_log_ends_with_its_job(shell: Any) -> None:
    shell.run(
        "%%remote -a -j job\nimport time\n"
        "for n in range(3):\n    print('step', n)\n    time.sleep(0.2)"
    )
    # A terminal shows what the job prints by itself too.
    lines = shell.run("%logs -f").out.split("\n")
    assert shell["job"].is_ended
    assert [f"step {n}" in lines for n in range(3)] == [True] * 3


def test_doctor_names_what_it_found(shell: Any) -> None:
    found = {row["check"]: row["finding"] for row in shell.run("%modalnb doctor").result}
    assert found["modalnb"] == modalnb.__version__
    assert "terminal" in found["front end"]
    assert "embedded at tls://127.0.0.1" in found["engine"]
    assert found["GPU"]


def test_config_is_listed_and_changed(shell: Any) -> None:
    [values] = shell.run("%modalnb config max_throttle_wait=5 log_tags=on").result
    assert (values["max_throttle_wait"], values["log_tags"]) == (5.0, True)
    shell.run("%modalnb config max_throttle_wait=0 log_tags=0")
    assert modalnb.config.log_tags is False
    assert isinstance(shell.run("%modalnb config progress=maybe").error, InvalidError)
    assert "Did you mean `doctor`?" in shell.run("%modalnb docter").err


def test_dashboard_is_that_of_the_app(squares: Any) -> None:
    squares.run("square.remote(1)")
    assert "square" in repr(squares.run("%modalnb dashboard app").result)
    done = squares.run("%modalnb dashboard ap")
    assert "There is no app `ap`" in done.err
    assert "Did you mean `app`?" in done.err


def test_plain_call_runs_a_cell(shell: Any) -> None:
    job = modalnb.notebook.run_cell("y = 20\ny * 2", name="plain")
    assert job.result(timeout=30) == 40
    assert shell["y"] == 20
    job = modalnb.notebook.run_cell("n + 1", variable="n", elements=[1, 2])
    assert job.result(timeout=30) == [2, 3]


# -- completion and help -----------------------------------------------------------------------


def _complete(shell: Any, text: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.ip.Completer.completions(text, len(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%remote --max", ["--max-containers", "--max-inputs"]),
        ("%%remote --gpu H", ["H100", "H200"]),
        ("%autoscaler sq", ["square"]),
        ("%autoscaler square --sc", ["--scaledown-window"]),
        ("%logs sq", ["square"]),
        ("%modalnb do", ["doctor"]),
    ],
)
def test_completion_offers_only_what_fits(squares: Any, text: str, expected: list[str]) -> None:
    assert _complete(squares, text) == expected


def test_completion_of_pools_and_jobs(shell: Any) -> None:
    shell.run("%%remote -a -n pool-a -j job\nimport threading\nthreading.Event().wait(600)")
    assert _complete(shell, "%%remote -n po") == ["pool-a"]
    job = shell["job"]
    assert _complete(shell, "%cancel ")[0] == job.job_id
    job.cancel()
    job.wait(30)
    assert job.job_id not in _complete(shell, "%cancel ")


def test_completion_in_the_body_of_a_cell_is_pythons(squares: Any) -> None:
    assert "square" in _complete(squares, "%%remote --gpu T4\nsqu")


@pytest.mark.parametrize("magic", ["remote", "autoscaler", "logs"])
def test_help_reads_well(shell: Any, magic: str) -> None:
    text = shell.ip.find_line_magic(magic).__doc__
    assert text.lstrip().startswith("::")
    assert max(map(len, text.splitlines())) <= 100
    if magic == "remote":
        assert "--min-containers" in text
        assert "run the cell once for each element" in " ".join(text.split())
