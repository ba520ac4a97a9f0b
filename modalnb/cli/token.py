"""``modalnb token``: the keys that requests need for functions with ``requires_proxy_auth``."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TypeVar

import click

from modalnb.exception import Error
from modalnb.web.keys import KeyRing

T = TypeVar("T")


@click.group()
def token() -> None:
    """Keys for web functions that are declared with requires_proxy_auth=True."""


@token.command()
@click.option("--name", default="", help="What the key is for, shown by `modalnb token list`.")
def new(name: str) -> None:
    """Make a key. Its secret is shown now and never again."""
    key, secret = _with_keys(lambda ring: ring.new(name))
    click.echo(f"Modal-Key: {key}\nModal-Secret: {secret}")
    click.echo("Send both as headers. The secret is kept nowhere.", err=True)


@token.command("list")
def list_keys() -> None:
    """Show the keys, without their secrets."""
    keys = _with_keys(lambda ring: ring.all())
    for key in keys:
        made = datetime.datetime.fromtimestamp(key.created_at)
        click.echo(f"{key.key}  {made:%Y-%m-%d %H:%M}  {key.name}".rstrip())
    if not keys:
        click.echo("There is no key. `modalnb token new` makes one.", err=True)


@token.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Make a key worthless, for requests from now on."""
    _with_keys(lambda ring: ring.revoke(key))
    click.echo(f"{key} opens nothing any more.")


def _with_keys(act: Callable[[KeyRing], T]) -> T:
    try:
        return act(KeyRing())
    except (Error, OSError) as error:
        raise click.ClickException(str(error)) from None
