"""How a second process finds a running engine: a file that only this user can read.

The engine holds a lock on its file for as long as it lives, however it ends, so a file without
one is stale, whatever process has got the engine's id since.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from modalnb.exception import ConnectionError, NotFoundError


class Rendezvous:
    """The file of one engine, complete and locked from the moment at which it appears."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.path = folder() / f"engine-{facts['pid']}.json"
        draft = tempfile.NamedTemporaryFile(  # noqa: SIM115  (open for the life of the engine)
            "w", dir=self.path.parent, prefix=".draft-", delete=False
        )  # mode 0600
        try:
            fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
            json.dump(facts, draft)
            draft.flush()
            os.replace(draft.name, self.path)
        except BaseException:
            os.unlink(draft.name)
            draft.close()
            raise
        self._file: IO[str] = draft

    def withdraw(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        self._file.close()


def folder() -> Path:
    """The folder of the files, which nobody else can enter.

    Raises
    ------
    ConnectionError
        If somebody has put in its place what others can enter.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        path = Path(base) / "modalnb"
    else:
        path = Path(tempfile.gettempdir()) / f"modalnb-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    facts = path.lstat()
    is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
    if not is_ours or facts.st_mode & 0o077:
        raise ConnectionError(
            f"{path} must be a folder that only you can enter, since it holds credentials. "
            f"Remove it or run `chmod 700 {path}`, or set XDG_RUNTIME_DIR to a folder of yours."
        )
    return path


def find() -> dict[str, Any]:
    """The facts of the engine that was started last, by another process than this one.

    Raises
    ------
    NotFoundError
        If no such engine of this user is running.
    """
    for path in sorted(folder().glob("engine-*.json"), key=_age):
        facts = _read(path)
        if facts is not None and facts.get("parent") != os.getpid():
            return facts
    raise NotFoundError(
        "No engine that another process of yours has started is running on this machine. Without "
        "`modalnb.connect()`, the first call of a function starts one for this process."
    )


def _read(path: Path) -> dict[str, Any] | None:
    """What a file says; None if it is stale, and then the file is removed."""
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                facts: dict[str, Any] = json.load(file)
                return facts
            path.unlink(missing_ok=True)
    except (OSError, ValueError):
        pass
    return None


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
