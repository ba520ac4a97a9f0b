"""Handles that are looked up at their first use, or earlier if somebody wants that."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Self

from modalnb.api.twin import twin


class Hydratable(ABC):
    """A handle that may stand for something that is known by name only."""

    @abstractmethod
    def _look_up(self) -> None:
        """Ask for what it stands for, unless that is known."""

    @twin
    def hydrate(self) -> Self:
        """Look it up now instead of at first use; returns itself.

        Raises
        ------
        NotFoundError
            If there is nothing of that name.
        """
        self._look_up()
        return self

    @hydrate.aio
    async def _hydrate_aio(self) -> Self:
        """The same for ``await``."""
        await asyncio.to_thread(self._look_up)
        return self
