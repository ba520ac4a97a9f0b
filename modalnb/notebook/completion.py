"""Completes options, GPUs, functions, containers and jobs on the lines of the magics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from modalnb.notebook import calls
from modalnb.notebook.options import COMMANDS, GPUS

if TYPE_CHECKING:
    from modalnb.notebook.magics import ModalnbMagics
    from modalnb.notebook.session import NotebookSession

_LINE = re.compile(r"\s*%{1,2}(remote|autoscaler|containers|jobs|logs|cancel|modalnb)\s")
_WITH_FUNCTION = ("autoscaler", "containers", "logs")
_WITH_JOB = ("cancel", "logs")


def matcher_of(session: NotebookSession, magics: ModalnbMagics) -> Callable[[Any], Any]:
    """The matcher that IPython asks; it answers alone on the lines of our magics."""

    @context_matcher()
    def modalnb_matcher(context: Any) -> dict[str, Any]:
        line = context.full_text.split("\n")[0][: context.cursor_position]
        found = _LINE.match(line)
        if found is None or context.cursor_line != 0:
            return {"completions": [], "suppress": False}
        magic = found.group(1)
        is_cell = line.lstrip().startswith("%%")
        word = re.split(r"[\s=]", line)[-1]
        names = _answers(session, getattr(magics, magic), magic, line, word)
        if not names and magic == "remote" and not is_cell:
            # The rest of the line is Python.
            return {"completions": [], "suppress": False}
        return {
            "completions": [SimpleCompletion(text=name, type="magic") for name in names],
            "matched_fragment": word,
            "suppress": True,
            "ordered": True,
        }

    return modalnb_matcher  # type: ignore[no-any-return]


def _answers(
    session: NotebookSession, function: Any, magic: str, line: str, word: str
) -> list[str]:
    """What the word at the cursor may become, in the order in which it is offered."""
    before = line[: len(line) - len(word)].split()
    last = before[-1].rstrip("=") if before else ""
    if last in ("-n", "--name"):
        choices: Iterable[str] = session.pools.names
    elif last == "--gpu":
        choices = GPUS
    elif word.startswith("-"):
        choices = _options(function)
    else:
        choices = _arguments(session, magic, before)
    return [choice for choice in dict.fromkeys(choices) if choice.startswith(word)]


def _options(function: Any) -> list[str]:
    parser = getattr(function, "parser", None)
    actions = parser._actions if parser is not None else []
    return [option for a in actions for option in a.option_strings if option.startswith("--")]


def _arguments(session: NotebookSession, magic: str, before: list[str]) -> list[str]:
    choices: list[str] = []
    if magic == "modalnb" and len(before) == 1:
        choices += COMMANDS
    if magic == "modalnb" and before[1:] == ["dashboard"]:
        choices += session.apps
    if magic in _WITH_JOB:
        jobs = [job for job in session.board.jobs if magic == "logs" or not job.is_ended]
        choices += [job.job_id for job in reversed(jobs)]
    if magic in _WITH_FUNCTION:
        choices += calls.known_functions(session.shell.user_ns)
    if magic == "logs":
        choices += [facts["container"] for facts in calls.containers()]
    return choices
