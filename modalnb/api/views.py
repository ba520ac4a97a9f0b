"""The way up to the notebook room, which the layers below it reach only by name and when asked."""

from __future__ import annotations

import importlib
from typing import Any


def open_view(opener: str, owner: Any, **options: Any) -> Any:
    """Open a live view of an app or of a pool's owner."""
    return getattr(importlib.import_module("modalnb.notebook.boards"), opener)(owner, **options)
