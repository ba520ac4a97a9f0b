"""``modalnb run``: runs a local entrypoint here, or a function or method in a container."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from modalnb.api.entrypoint import LocalEntrypoint
from modalnb.cli.parameters import Arguments, parse
from modalnb.cli.target import Target, find_target
from modalnb.cli.tracebacks import show_error
from modalnb.configuration import config

INTERRUPTED = 130

_HELP = """Run a local entrypoint here, or a function in a container.

Without NAME it is the only local entrypoint of the file, or else the only function. The
parameters of its signature become options; put --help behind the reference to see them.
The result of a function is printed.

\b
Examples:
  modalnb run train.py
  modalnb run train.py --epochs 3 --no-shuffle
  modalnb run train.py::evaluate --help
  modalnb run train.py::Model.predict --size large --text "Hello"
  modalnb run -m package.train::main

The exit status is 0, 1 after an error of the code, 2 when there is nothing to run or the
arguments are wrong, and 130 after Ctrl-C.
"""


@click.command(help=_HELP, context_settings={"allow_interspersed_args": False})
@click.option("-m", "is_module", is_flag=True, help="The reference is a module, such as pkg.mod.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what the code prints.")
@click.option(
    "-d",
    "--detach",
    is_flag=True,
    help="Leave the app running on the engine or cluster that the file connects to.",
)
@click.option(
    "-w",
    "--write-result",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True),
    help="Write the result, a str or bytes, to this file.",
)
@click.argument("reference", metavar="FILE.py[::NAME]")
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def run(
    reference: str,
    args: tuple[str, ...],
    *,
    is_module: bool,
    quiet: bool,
    detach: bool,
    write_result: str | None,
) -> None:
    """Find what is meant, read its arguments, run it with its app, show or keep the result."""
    _check_folder(write_result)
    with exit_status():
        target = find_target(reference, is_module=is_module)
        arguments = parse(target.raw, f"modalnb run {'-m ' * is_module}{reference}", args)
        if quiet:
            config.progress = False
        result = _execute(target, arguments, detach=detach)
        if write_result is not None:
            _write(result, write_result)
        elif not quiet and result is not None and not isinstance(target.runnable, LocalEntrypoint):
            click.echo(repr(result))


@contextmanager
def exit_status(interrupted: int = INTERRUPTED) -> Iterator[None]:
    """Leave with the status that says how it went; click's own exceptions pass."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, SystemExit):
        raise
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(interrupted)
    except BaseException as error:
        show_error(error)
        sys.exit(1)


def _execute(target: Target, arguments: Arguments, *, detach: bool) -> Any:
    results = []
    with target.app.run(detach=detach):
        results.append(_call(target, *arguments))
    if not results:
        # `app.run` ends quietly after Ctrl-C; the exit status must not.
        raise KeyboardInterrupt
    return results[0]


def _call(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not isinstance(target.runnable, LocalEntrypoint):
        return target.runnable.remote(*args, **kwargs)
    value = target.runnable(*args, **kwargs)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def _check_folder(file: str | None) -> None:
    """Refuse a result file that cannot be written, before the work rather than after it."""
    folder = os.path.dirname(file or "") or "."
    if not os.path.isdir(folder):
        raise click.BadParameter(f"There is no folder '{folder}'.", param_hint="--write-result")


def _write(result: Any, file: str) -> None:
    if not isinstance(result, str | bytes):
        raise click.ClickException(
            f"`--write-result` needs a result of type str or bytes; got {type(result).__name__}."
        )
    with open(file, "wb") as out:
        out.write(result.encode() if isinstance(result, str) else result)
