"""The options of the magics: one spelling for all, and a hint when one is misspelt."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument, parse_argstring

#: Modal's name of each option, what it takes, and its help.
AUTOSCALER: dict[str, tuple[type, str]] = {
    "min_containers": (int, "containers that stay warm without inputs"),
    "max_containers": (int, "the most containers; 0 is as many as the machine hosts"),
    "buffer_containers": (int, "containers beyond the need while there are inputs"),
    "scaledown_window": (float, "seconds for which a container may be idle"),
}
POOL: dict[str, tuple[type, str]] = {
    **AUTOSCALER,
    "max_inputs": (int, "inputs that a container works on at the same time"),
    "gpu": (str, "GPU of a container, such as L40S, H100:2 or any"),
    "cpu": (float, "cores of a container; measured unless given"),
    "memory": (int, "MiB of memory of a container"),
    "timeout": (float, "seconds that a cell may take; a day unless given"),
    "retries": (int, "how often an input that failed runs again"),
}
GPUS = ("T4", "L4", "A10", "L40S", "A100", "A100-40GB", "A100-80GB", "H100", "H200", "B200", "any")

#: What ``%modalnb`` does.
COMMANDS = ("doctor", "dashboard", "config")

Decorator = Callable[[Any], Any]


def flag(name: str) -> str:
    """The option of a parameter: ``--min-containers``."""
    return f"--{name.replace('_', '-')}"


def arguments(options: dict[str, tuple[type, str]]) -> Decorator:
    """Give a magic these options; all are None unless given."""

    def decorate(function: Any) -> Any:
        for name, (kind, text) in reversed(options.items()):
            metavar = {int: "N", float: "X", str: "NAME"}[kind]
            function = argument(flag(name), type=kind, metavar=metavar, help=text)(function)
        return function

    return decorate


def given(parsed: Namespace, options: Iterable[str]) -> dict[str, Any]:
    """The options that were given, by name."""
    values = {name: getattr(parsed, name) for name in options}
    return {name: value for name, value in values.items() if value is not None}


def parse(magic: Any, line: str) -> Namespace:
    """Parse a magic's line; a wrong option is a UsageError that says which was meant."""
    try:
        return parse_argstring(magic, line)  # type: ignore[no-any-return]
    except UsageError as error:
        known = [option for action in magic.parser._actions for option in action.option_strings]
        wrong = [word.partition("=")[0] for word in line.split() if word.startswith("-")]
        unknown = [w for w in wrong if not any(option.startswith(w) for option in known)]
        raise UsageError(f"{error}{hint(unknown[0], known) if unknown else ''}") from None


def hint(word: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a message."""
    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else ""
