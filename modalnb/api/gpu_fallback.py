"""Tells once of each function that it runs without the GPU that it asks for."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from modalnb.api.waiting import ask
from modalnb.configuration import config
from modalnb.exception import UnsupportedWarning

if TYPE_CHECKING:
    from modalnb.api.function import Function
    from modalnb.plane.stub import Stub

#: Pools that were looked at, with the devices that they ask for.
_settled: set[tuple[str, tuple[str, ...]]] = set()


def warn_once(stub: Stub, pool_id: str, function: Function) -> None:
    """Warn if the function asks for devices that are nowhere, where containers run without."""
    if config.gpu_fallback != "cpu":
        return
    gpu = function._wanted_gpu
    if not gpu or (pool_id, gpu) in _settled:
        return
    _settled.add((pool_id, gpu))
    found = ask(stub, "lacks", pool_id=pool_id)
    if found is not None:
        warnings.warn(
            f"`{function.name}` asks for gpu={', '.join(gpu)}, but there is {found}; it runs "
            "without, as `modalnb.config.gpu_fallback` says.",
            UnsupportedWarning,
            stacklevel=_users_level(),
        )


def _users_level() -> int:
    """How many frames up the code of the user is, counted from the caller."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("modalnb."):
        frame = frame.f_back
        level += 1
    return level
