"""Modal's model of autoscaled functions on machines that you already have.

>>> import modalnb as modal
>>> app = modal.App("my-app")
>>> @app.function(max_containers=4)
... def square(x):
...     return x * x
>>> list(square.map(range(3)))  # doctest: +SKIP
[0, 1, 4]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modalnb import exception, experimental
    from modalnb.api.app import App
    from modalnb.api.call import FunctionCall
    from modalnb.api.current import (
        connect,
        current_function_call_id,
        current_input_id,
        is_local,
    )
    from modalnb.api.decorators import batched, concurrent
    from modalnb.api.function import Function
    from modalnb.configuration import config
    from modalnb.settings import Retries

#: Where each public name lives; it is imported when it is first used.
_HOMES = {
    "App": "modalnb.api.app",
    "Function": "modalnb.api.function",
    "FunctionCall": "modalnb.api.call",
    "Retries": "modalnb.settings",
    "batched": "modalnb.api.decorators",
    "concurrent": "modalnb.api.decorators",
    "config": "modalnb.configuration",
    "connect": "modalnb.api.current",
    "current_function_call_id": "modalnb.api.current",
    "current_input_id": "modalnb.api.current",
    "exception": "",
    "experimental": "",
    "is_local": "modalnb.api.current",
}

__all__ = [
    "App",
    "Function",
    "FunctionCall",
    "Retries",
    "batched",
    "concurrent",
    "config",
    "connect",
    "current_function_call_id",
    "current_input_id",
    "exception",
    "experimental",
    "is_local",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'modalnb' has no attribute {name!r}")
    home = _HOMES[name]
    value = (
        getattr(importlib.import_module(home), name)
        if home
        else importlib.import_module(f"modalnb.{name}")
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
