"""``%%remote`` in a real IPython against real containers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from modalnb.exception import InvalidError, SerializationError
from modalnb.notebook import extension
from modalnb.runtime.cell import OUTPUT


def test_names_go_along_and_come_back(shell: Any) -> None:
    shell.run("import math\nk = 3\ndef times(x):\n    return k * x\nrows = [1, 2]")
    done = shell.run(
        "%%remote\nimport os\ntotal = times(sum(rows)) + math.floor(0.5)\npid = os.getpid()"
    )
    assert done.error is None
    assert shell["total"] == 9
    assert shell["pid"] != __import__("os").getpid()
    assert done.err == "modalnb: Brought back pid, total, os.\n"


def test_output_of_all_kinds_appears_in_order(shell: Any) -> None:
    shell.run("k = 3")
    done = shell.run(
        "%%remote -q\n"
        "from IPython.display import HTML\n"
        "print('first')\n"
        "display(HTML('<b>second</b>'))\n"
        "k + 1"
    )
    assert done.out == "first\n"
    assert [bundle["text/plain"] for bundle in done.displays] == [
        "<IPython.core.display.HTML object>",
        "4",
    ]
    assert done.displays[0]["text/html"] == "<b>second</b>"


def test_figures_appear_without_being_asked_for(shell: Any) -> None:
    done = shell.run(
        "%%remote\nimport matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\n"
        "axes.plot([1, 2, 3]);"
    )
    assert done.error is None
    assert [sorted(bundle) for bundle in done.displays] == [["image/png", "text/plain"]]
    assert shell["axes"] in shell["figure"].axes, "what the names share is still shared"


def test_what_cannot_be_shown_here_is_shown_as_text(shell: Any) -> None:
    done = shell.run(
        "%%remote -q\nimport ipywidgets\nfrom IPython.display import HTML\n"
        "display(ipywidgets.IntSlider(7))\nHTML('x' * 17_000_000)"
    )
    slider, page = done.displays
    assert list(slider) == ["text/plain"]
    assert "IntSlider(value=7" in slider["text/plain"]
    assert "17 MB of rich output were left out" in page["text/plain"]


def test_jobs_that_import_the_same_run_side_by_side(shell: Any) -> None:
    for name in ("one", "two"):
        shell.run(f"%%remote -a -n {name} -j {name}\nimport time\ntime.sleep(1.5)")
    assert not shell["one"].is_ended
    assert shell["one"].result() is shell["two"].result() is None


def test_map_may_take_along_as_much_as_any_cell(shell: Any) -> None:
    shell.run("data = b'x' * 5_000_000")
    done = shell.run("%%remote --map n=range(3) -o out\nlen(data) + n")
    assert (done.error, done.err) == (None, "")
    assert shell["out"] == [5_000_000, 5_000_001, 5_000_002]


def test_semicolon_hides_the_last_expression(shell: Any) -> None:
    assert shell.run("%%remote\n1 + 1;  # hidden").displays == []


def test_functions_that_come_back_are_at_home(shell: Any) -> None:
    """Their globals are the notebook's, so that they see what later cells assign."""
    shell.run("k = 1")
    shell.run(
        "%%remote\ndef more(x, *, by=1):\n    return x + by + k\ndef rows(): return [more(1)]"
    )
    assert shell.run("k = 10\nmore(1, by=2), rows()").result == (13, [12])


def test_classes_keep_their_identity(shell: Any) -> None:
    shell.run("%%remote\nclass Point:\n    x = 1\npoint = Point()")
    assert shell.run("isinstance(point, Point)").result is True
    assert shell.run("%remote isinstance(point, Point)").result is True


def test_unpicklable_names_stay_and_are_named(shell: Any) -> None:
    done = shell.run("%%remote\nimport threading\nlock = threading.Lock()\nx = [lock]\ny = 1")
    assert done.error is None
    assert shell["y"] == 1
    assert "lock" not in shell.ip.user_ns
    assert "Left in the container lock, x, which cannot be pickled." in done.err


def test_unpicklable_capture_is_refused_with_its_path(shell: Any) -> None:
    shell.ip.user_ns["state"] = {"a": [1, threading.Lock()]}
    done = shell.run("%%remote\nlen(state)")
    assert isinstance(done.error, SerializationError)
    assert "`state['a'][1]` of type _thread.lock cannot be pickled" in done.out
    assert "Traceback" not in done.out


def test_large_capture_is_refused_unless_allowed(shell: Any) -> None:
    shell.ip.user_ns["data"] = b"x" * 12_000_000
    done = shell.run("%%remote\nlen(data)")
    assert isinstance(done.error, InvalidError)
    assert "`data` 12.0 MB" in done.out
    assert "--capture-limit 13" in done.out
    assert shell.run("%%remote --capture-limit 13 -o n\nlen(data)").error is None
    assert shell["n"] == 12_000_000


def test_shared_values_count_once(shell: Any) -> None:
    shell.run("data = b'x' * 6_000_000\ndef size(): return len(data)")
    assert shell.run("%%remote -o n\nsize() + len(data)").error is None
    assert shell["n"] == 12_000_000


def test_dry_run_lists_names_and_sends_nothing(shell: Any) -> None:
    shell.run("import math\nrows = list(range(1000))")
    jobs = len(shell.run("%jobs").result)
    table = shell.run("%%remote --dry-run\nn = math.prod(rows)").result
    assert {row["name"]: row["kind"] for row in table} == {"math": "module", "rows": "list"}
    assert "Brings back: n." in repr(table)
    assert "<table" in table._repr_html_()
    assert len(shell.run("%jobs").result) == jobs


def test_error_shows_the_lines_of_the_cell_only(shell: Any) -> None:
    done = shell.run("%%remote\n\nx = 1\nraise ValueError('here')  # the line")
    assert isinstance(done.error, ValueError)
    assert "line 4" in done.out
    assert "----> 4 raise ValueError('here')  # the line" in done.out
    assert "modalnb" not in done.out.partition("%%remote")[0]
    assert "run_cell_magic" not in done.out


def test_names_from_before_an_error_come_back(shell: Any) -> None:
    shell.run("kept, late = 'old', 'old'")
    done = shell.run("%%remote\nkept = list(range(100_000))\n1 / 0\nlate = 'new'")
    assert isinstance(done.error, ZeroDivisionError)
    assert OUTPUT not in vars(done.error)
    assert len(shell["kept"]) == 100_000
    assert shell["late"] == "old"


def test_names_that_cannot_travel_do_not_hide_an_error(shell: Any) -> None:
    done = shell.run("%%remote\nimport threading\nlock, n = threading.Lock(), 3\n1 / 0")
    assert isinstance(done.error, ZeroDivisionError)
    assert "lock" not in shell.ip.user_ns
    assert shell["n"] == 3


def test_names_that_are_large_stay_behind_with_an_error(shell: Any) -> None:
    done = shell.run("%%remote\nlarge = bytes(65 * 2**20)\n1 / 0")
    assert isinstance(done.error, ZeroDivisionError)
    assert "large" not in shell.ip.user_ns


def test_error_in_a_function_of_the_notebook_shows_its_line(shell: Any) -> None:
    shell.run("def divide(x):\n    return 1 / x  # inside")
    done = shell.run("%%remote\ndivide(0)")
    assert "----> 2     return 1 / x  # inside" in done.out


def test_syntax_error_is_found_before_anything_is_sent(shell: Any) -> None:
    jobs = len(shell.run("%jobs").result)
    done = shell.run("%%remote\nx = = 1")
    assert isinstance(done.error, SyntaxError)
    assert done.error.lineno == 2
    assert len(shell.run("%jobs").result) == jobs


def test_pool_stays_warm_when_the_code_changes(shell: Any) -> None:
    shell.run("%%remote -n warm -o first\nimport os\nos.getpid()")
    shell.run("%%remote -n warm -o second\nimport os\n0 or os.getpid()")
    assert shell["first"] == shell["second"]


def test_options_shape_the_pool(shell: Any) -> None:
    scaling = {"min_containers": 1, "max_containers": 2, "buffer_containers": 1}
    scaling["scaledown_window"] = 7
    others = {"max_inputs": 3, "cpu": 0.5, "memory": 300, "timeout": 50, "retries": 2}
    words = [f"--{name.replace('_', '-')} {value}" for name, value in {**scaling, **others}.items()]
    assert shell.run(f"%%remote -n shaped {' '.join(words)}\n1").error is None
    session = extension.session()
    assert session is not None
    function = session.pools.function("shaped")
    assert function is not None
    settings = function._base.settings
    assert settings is not None
    assert {name: getattr(settings.autoscaler, name) for name in scaling} == scaling
    retries = settings.retries and settings.retries.max_retries
    assert {name: getattr(settings, name) for name in others} | {"retries": retries} == others
    seen = function.snapshot()
    assert (seen.settings, seen.max_inputs) == (settings.autoscaler, 3)
    shell.run("%autoscaler shaped --min-containers 0 --buffer-containers 0")


def test_max_inputs_runs_cells_side_by_side_in_one_container(shell: Any) -> None:
    """Both elements wait for each other."""
    shell.run(
        "%%remote -n pair --max-inputs 2 --max-containers 1 --map n=[0, 1] -o pids\n"
        "import os, threading\nfrom modalnb.runtime import cell\n"
        "meeting = cell.__dict__.setdefault('meeting', threading.Barrier(2))\n"
        "meeting.wait(30)\nos.getpid()"
    )
    assert len(shell["pids"]) == 2
    assert len(set(shell["pids"])) == 1


def test_retries_run_a_failed_cell_again(shell: Any, tmp_path: Any) -> None:
    tries = tmp_path / "tries"
    code = f"with open({str(tries)!r}, 'a') as file: file.write('x')\n"
    code += f"assert len(open({str(tries)!r}).read()) == 2, 'try again'\n'well'"
    assert shell.run(f"%%remote -n again --retries 1 -o word\n{code}").error is None
    assert shell["word"] == "well"
    tries.unlink()
    assert "try again" in str(shell.run(f"%%remote -n once --retries 0\n{code}").error)


def test_timeout_stops_a_cell(shell: Any) -> None:
    done = shell.run("%%remote -n short --timeout 0.5\nimport time\ntime.sleep(60)")
    assert type(done.error).__name__ == "FunctionTimeoutError"


def test_gpu_that_is_not_there_is_told_at_once(shell: Any) -> None:
    done = shell.run("%%remote -n lit --gpu H100\n1")
    assert "H100" in str(done.error)


def test_map_runs_once_for_each_element_in_order(shell: Any) -> None:
    shell.run("k = 10")
    done = shell.run("%%remote --map n=[3, 1, 2] -o out\nprint(n)\nn * k")
    assert shell["out"] == [30, 10, 20]
    assert sorted(done.out.split()) == ["1", "2", "3"]
    assert shell.run('%%remote --map "n=range(2)" -o out\nn').error is None
    assert shell["out"] == [0, 1]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--map 5", "NAME=ITERABLE"),
        ("--map n=", "expression after `=`"),
        ("--map n=5", "no iterable"),
        ("--min-contaners 1", "Did you mean `--min-containers`"),
        ("--max-inputs many", "invalid int value"),
        ("-a -b", "not both"),
    ],
)
def test_wrong_options_are_one_line(shell: Any, line: str, text: str) -> None:
    done = shell.run(f"%%remote {line}\n1")
    assert done.err.startswith("UsageError: ")
    assert text in done.err
    assert "Traceback" not in done.out + done.err


def test_expression_gives_its_value(shell: Any) -> None:
    shell.run("def square(x): return x * x")
    assert shell.run("y = %remote square(7)\ny").result == 49
    assert "UsageError" in shell.run("%remote").err


def test_value_that_cannot_travel_is_an_error(shell: Any) -> None:
    done = shell.run("%remote __import__('threading').Lock()")
    assert isinstance(done.error, SerializationError)


def test_changed_in_place_comes_back_by_augmented_assignment(shell: Any) -> None:
    shell.run("rows, other = [1], [1]")
    shell.run("%%remote\nrows += [2]\nother.append(2)")
    assert shell["rows"] == [1, 2]
    assert shell["other"] == [1]


def test_shell_commands_and_magics_work_there(shell: Any) -> None:
    shell.run("name = 'modalnb'")
    done = shell.run("%%remote\n!echo hello {name}\nlines = !echo one\n%time x = len(name)")
    assert "hello modalnb" in done.out
    assert "Wall time" in done.out
    assert (shell["lines"], shell["x"]) == (["one"], 7)


def test_top_level_await_works_there(shell: Any) -> None:
    assert shell.run("%%remote -o x\nimport asyncio\nawait asyncio.sleep(0, 5)").error is None
    assert shell["x"] == 5


def test_notebook_functions_can_be_called_from_a_cell(shell: Any) -> None:
    shell.run(
        "import modalnb\napp = modalnb.App('inner')\n"
        "@app.function(max_containers=1)\ndef inner(x): return x + 1\n"
        "def outer(x): return inner.remote(x)"
    )
    assert shell.run("%remote outer(1) + inner.remote(1)").result == 4
    shell.run("app.stop()")


def test_job_can_be_awaited_and_looked_up(shell: Any) -> None:
    shell.run("%%remote -a -j job -o value\n40 + 2")
    assert shell.run("value").result == 42, "a cell that mentions the name waits for it"
    assert shell.run("await job").result == 42
    job = shell["job"]
    assert job.result(timeout=5) == 42
    assert job.stage == "done"
    assert repr(job).startswith(f"<Job {job.job_id} remote: done")


def test_name_of_a_failed_job_says_where_it_should_have_come_from(shell: Any) -> None:
    shell.run("%%remote -a -j job\nimport time\ntime.sleep(0.5)\nwanted = 1 / 0")
    done = shell.run("wanted")
    assert "`wanted` comes from the cell of job" in done.out
    assert "ZeroDivisionError" in done.out


def test_later_assignment_wins_over_a_job_under_way(shell: Any) -> None:
    shell.run("%%remote -a\nimport time\ntime.sleep(0.5)\nx = 'there'")
    shell.run("x = 'here'")
    assert shell["x"] == "here"


def test_cancel_ends_a_job_under_way(shell: Any, wait_until: Any) -> None:
    shell.run("%%remote -a -j job\nprint('started')\nimport threading\nthreading.Event().wait(600)")
    job = shell["job"]
    wait_until(lambda: "started" in shell.run(f"%logs {job.job_id}").out)
    assert "is being cancelled" in shell.run("%cancel").out
    wait_until(lambda: job.is_ended)
    assert job.stage == "cancelled"
    assert "has ended already: cancelled" in shell.run(f"%cancel {job.job_id}").out
    assert "No job is under way" in shell.run("%cancel").err
