"""``modalnb``: the command that holds all others."""

from __future__ import annotations

import click

import modalnb
from modalnb.cli.run import run
from modalnb.cli.serve import serve
from modalnb.cli.token import token

_EPILOG = """\b
Environment:
  MODALNB_TRACEBACK=1  show modalnb's own frames in tracebacks too
  MODALNB_PROGRESS=0   show no bars
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(modalnb.__version__, prog_name="modalnb")
def cli() -> None:
    """Modal's autoscaled functions, on machines that you already have."""


cli.add_command(run)
cli.add_command(serve)
cli.add_command(token)


def main() -> None:
    """Run the command line; leaves with its exit status."""
    cli(prog_name="modalnb")
