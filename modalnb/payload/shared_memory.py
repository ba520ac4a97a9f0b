"""Large payloads on one host: files in memory that the sender writes once and the receiver maps.

A ticket names such a file and the sizes of the frames in it.  The engine owns the folder and
removes it at its end, so that nothing stays behind however its users die.
"""

from __future__ import annotations

import itertools
import mmap
import os
import pickle
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from modalnb.payload.pickling import Frame, Frames

Ticket = dict[str, Any]
_PREFIX = "modalnb-"
_ALIGN = 64


class Depot:
    """A folder of shared memory that one engine, its clients and its containers use."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._names = (f"{os.getpid():x}-{uuid.uuid4().hex[:8]}-{n:x}" for n in itertools.count())

    def put(self, frames: Frames) -> Ticket | None:
        """Write frames into a new file; None when there is no room for them."""
        sizes = [_nbytes(frame) for frame in frames]
        name = next(self._names)
        path = os.path.join(self.folder, name)
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            offset = 0
            for frame, size in zip(frames, sizes, strict=True):
                _write(fd, frame, offset)
                offset += -(-size // _ALIGN) * _ALIGN
            os.truncate(fd, offset)
        except OSError:
            with suppress(OSError):
                os.unlink(path)
            return None
        finally:
            os.close(fd)
        return {"file": name, "sizes": sizes}

    def get(self, ticket: Ticket, *, keep: bool) -> list[memoryview]:
        """Map the frames; writing to them changes this process's view only."""
        path = os.path.join(self.folder, ticket["file"])
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            total = sum(-(-size // _ALIGN) * _ALIGN for size in ticket["sizes"])
            # Populating a private mapping would copy every page, also those only read.
            access = mmap.PROT_READ | mmap.PROT_WRITE
            view = memoryview(mmap.mmap(fd, total, mmap.MAP_PRIVATE, access))
        finally:
            os.close(fd)
        if not keep:
            self.drop(ticket)
        frames, offset = [], 0
        for size in ticket["sizes"]:
            frames.append(view[offset : offset + size])
            offset += -(-size // _ALIGN) * _ALIGN
        return frames

    def drop(self, ticket: Ticket) -> None:
        """Remove the file; those who have it mapped keep it."""
        with suppress(OSError):
            os.unlink(os.path.join(self.folder, ticket["file"]))

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def create_depot() -> Depot:
    """A new folder that only this user can enter, in memory where the system has such a place."""
    sweep()
    return Depot(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_place()))


def sweep() -> None:
    """Remove the folders of engines that are no more."""
    for folder in Path(_place()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and folder.stat().st_uid == os.getuid() and not _is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _place() -> str:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _nbytes(frame: Frame) -> int:
    return frame.raw().nbytes if isinstance(frame, pickle.PickleBuffer) else len(frame)


def _write(fd: int, frame: Frame, offset: int) -> None:
    view = frame.raw() if isinstance(frame, pickle.PickleBuffer) else memoryview(frame)
    while len(view):
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
