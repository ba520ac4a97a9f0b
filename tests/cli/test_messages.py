"""What the command line says when it cannot run, and the status it leaves with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import modalnb

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[..., Path]

PACKAGE = os.path.dirname(modalnb.__file__)

TWO = """
    import modalnb

    app = modalnb.App()

    @app.function()
    def first(): pass

    @app.function()
    def second(): pass
    """


def test_help_names_commands(run: Run) -> None:
    done = run("--help", command=())
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    assert "run Run a local entrypoint here, or a function in a container." in words
    assert "serve Run the web functions of a file in the foreground, until Ctrl-C." in words


def test_help_of_run_has_examples(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "\n    modalnb run train.py --epochs 3 --no-shuffle\n" in done.stdout


def test_help_of_entrypoint_shows_its_options(run: Run, write: Write) -> None:
    write("""
        import modalnb
        app = modalnb.App()
        @app.local_entrypoint()
        def main(learning_rate: float, epochs: int = 3, shuffle: bool = True):
            '''Train it.

            Parameters
            ----------
            learning_rate
                Not shown.
            '''
        """)
    done = run("job.py", "--help")
    assert done.returncode == 0
    assert "Usage: modalnb run job.py [OPTIONS]\n\n  Train it.\n" in done.stdout
    assert "--learning-rate FLOAT     [required]" in done.stdout
    assert "--epochs INTEGER          [default: 3]" in done.stdout
    assert "--shuffle / --no-shuffle  [default: True]" in done.stdout
    assert "Not shown" not in done.stdout


def test_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version", command=()).stdout == f"modalnb, version {modalnb.__version__}\n"


def test_unknown_file_is_one_sentence(run: Run) -> None:
    done = run("missing.py")
    assert (done.returncode, done.stderr) == (2, "Error: There is no file missing.py.\n")


def test_unknown_file_that_looks_like_a_module(run: Run) -> None:
    done = run("package.jobs::main")
    assert done.returncode == 2
    assert done.stderr.endswith("For a module write `-m package.jobs`.\n")


def test_unknown_module_is_one_sentence(run: Run) -> None:
    done = run("-m", "package.jobs")
    assert (done.returncode, done.stderr) == (2, "Error: There is no module package.\n")


def test_module_given_as_file(run: Run) -> None:
    done = run("-m", "job.py")
    assert done.returncode == 2
    assert "`-m` takes the name of a module such as pkg.mod; got job.py." in done.stderr


def test_file_of_another_kind(run: Run, write: Write) -> None:
    write("", "job.txt")
    done = run("job.txt")
    assert done.returncode == 2
    assert done.stderr == "Error: job.txt is not a Python file: its name must end in .py.\n"


def test_import_error_shows_frames_of_user_only(run: Run, write: Write) -> None:
    write("def fail():\n    raise OSError('no disk')\n", "neighbour.py")
    write("import neighbour\nneighbour.fail()\n")
    done = run("job.py")
    assert done.returncode == 2
    assert "in <module>\n    neighbour.fail()" in done.stderr
    assert "in fail\n    raise OSError('no disk')" in done.stderr
    assert done.stderr.endswith("Error: job.py cannot be imported; see the OSError above.\n")
    assert PACKAGE not in done.stderr
    assert "importlib" not in done.stderr


def test_syntax_error_shows_its_line(run: Run, write: Write) -> None:
    write("x = (1\n")
    done = run("job.py")
    assert done.returncode == 2
    assert 'job.py", line 1' in done.stderr
    assert PACKAGE not in done.stderr


def test_import_of_modal_is_explained(run: Run, write: Write) -> None:
    write("import modal\n", "package.py")
    done = run("-m", "package")
    assert done.returncode == 2
    assert done.stderr.endswith("Write `import modalnb as modal`.\n")


def test_file_without_app(run: Run, write: Write) -> None:
    write("x = 1\n")
    done = run("job.py")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: There is no app in job.py. Make one with")


def test_empty_app(run: Run, write: Write) -> None:
    write("import modalnb\napp = modalnb.App()\n")
    done = run("job.py")
    assert done.returncode == 2
    assert "The app in job.py has no functions and no local entrypoints." in done.stderr


def test_several_functions_are_listed(run: Run, write: Write) -> None:
    write(TWO)
    done = run("job.py")
    assert done.returncode == 2
    assert "job.py has several functions; name one: job.py::first, job.py::second." in done.stderr


def test_unknown_name_lists_what_there_is(run: Run, write: Write) -> None:
    write(TWO)
    done = run("job.py::third")
    assert done.returncode == 2
    assert "There is no local entrypoint or function 'third' in job.py; there is" in done.stderr
    assert "job.py::first, job.py::second." in done.stderr


def test_name_in_two_apps_wants_the_app(run: Run, write: Write) -> None:
    write(TWO + "\n    other = modalnb.App()\n    other.function(name='first')(lambda: 'other')\n")
    done = run("job.py::first")
    assert done.returncode == 2
    assert "name one: job.py::app.first, job.py::other.first." in done.stderr
    assert run("job.py::other.first").stdout == "'other'\n"


def test_wrong_arguments_end_with_usage(run: Run, write: Write) -> None:
    write("""
        import modalnb
        app = modalnb.App()
        @app.local_entrypoint()
        def main(count: int): pass
        """)
    wrong = run("job.py", "--count", "many")
    assert wrong.returncode == 2
    assert "Invalid value for '--count': 'many' is not a valid integer." in wrong.stderr
    missing = run("job.py")
    assert missing.returncode == 2
    assert "Missing option '--count'." in missing.stderr


def test_result_file_in_missing_folder(run: Run, write: Write) -> None:
    write(TWO)
    done = run("-w", "missing/out", "job.py::first")
    assert done.returncode == 2
    assert "There is no folder 'missing'." in done.stderr
