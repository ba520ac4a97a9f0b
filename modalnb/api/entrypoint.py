"""Local entrypoints: functions that run here, with their parameters as command-line options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class LocalEntrypoint:
    """A function that ``modalnb run`` runs in this process; calling it is calling the function."""

    def __init__(self, raw: Callable[..., Any], name: str, app: Any) -> None:
        self.raw = raw
        self.name = name
        self.app = app
        functools.update_wrapper(self, raw)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.raw(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<local entrypoint {self.name}>"
