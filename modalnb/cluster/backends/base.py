"""What the operator needs of a place where containers live."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from modalnb.core.capacity import Capacity
from modalnb.runtime.devices import Reading

#: Characters of a function's name in the ids of its containers; job queues limit names.
MAX_NAME = 40


class OnEnded(Protocol):
    """Hears how a container ended; `over_limit` if that was for the memory that it used."""

    def __call__(self, name: str, story: str, over_limit: bool = False) -> None: ...


class Backend(Protocol):
    """Starts and ends containers.

    ``tells_fates`` says whether :attr:`on_ended` is called with how each container ended.
    """

    tells_fates: bool
    on_ended: OnEnded
    on_printed: Callable[[str, str], None]

    def capacity(self) -> Capacity:
        """What the place can host."""

    async def devices(self) -> Reading | None:
        """The GPUs of this host, if containers are here; elsewhere they tell by themselves."""

    def limit_memory(self, names: list[str], mebibytes: int) -> None:
        """End these containers when they use more; elsewhere they do that by themselves."""

    def names(self, pool_id: str, count: int, unassigned: list[str]) -> list[str]:
        """The ids of the next `count` containers of a pool, or fewer if there is no more room."""

    def start(self, pool_id: str, names: list[str], hosts: Mapping[str, str]) -> None:
        """Begin to start these containers, some on given hosts; returns at once."""

    def greeted(self, name: str, host: str) -> None:
        """A container has come up on this host."""

    def stop(self, names: list[str]) -> None:
        """End these containers, which run nothing; returns at once."""

    def kill(self, name: str) -> None:
        """End this container whatever it does."""

    def lost(self, name: str) -> None:
        """This container is gone without having been stopped: do not start it again."""

    async def close(self) -> None:
        """End all containers that this backend started."""


def container_name(function: str, token: str, number: int) -> str:
    """An id that is never used twice and tells a person which function it belongs to.

    It becomes part of job scripts and command lines, so it keeps to ``[A-Za-z0-9._-]``.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", function)[:MAX_NAME].strip("-.") or "f"
    return f"ta-{safe}-{token}-{number}"
