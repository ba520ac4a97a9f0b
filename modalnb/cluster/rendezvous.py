"""How a second process finds a running engine: a file that only this user can read."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from modalnb.exception import ConnectionError, NotFoundError


class Rendezvous:
    """The file of one engine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def announce(cls, facts: dict[str, Any]) -> Rendezvous:
        """Write the file; it appears complete or not at all."""
        path = folder() / f"engine-{facts['pid']}.json"
        fd, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")  # mode 0600
        with os.fdopen(fd, "w") as out:
            json.dump(facts, out)
        os.replace(draft, path)
        return cls(path)

    def withdraw(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def folder() -> Path:
    """The folder of the files, which nobody else can enter.

    Raises
    ------
    ConnectionError
        If another user has put something in its place.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        path = Path(base) / "modalnb"
    else:
        path = Path(tempfile.gettempdir()) / f"modalnb-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    facts = path.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077 or path.is_symlink():
        raise ConnectionError(
            f"{path} can be entered by others, so it cannot hold credentials. Remove it, or set "
            "XDG_RUNTIME_DIR to a folder of yours."
        )
    return path


def find() -> dict[str, Any]:
    """The facts of the engine that was started last.

    Raises
    ------
    NotFoundError
        If no engine of this user is running.
    """
    for path in sorted(folder().glob("engine-*.json"), key=_age):
        with suppress(OSError, ValueError):
            facts: dict[str, Any] = json.loads(path.read_text())
            if _is_running(facts["pid"]):
                return facts
            path.unlink(missing_ok=True)
    raise NotFoundError(
        "No engine of yours is running on this machine. The first call of a function starts one; "
        "`modalnb.connect()` is for a second process beside it."
    )


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
