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
    from modalnb.api.cls import Cls
    from modalnb.api.current import (
        connect,
        current_function_call_id,
        current_input_id,
        is_local,
    )
    from modalnb.api.decorators import batched, concurrent
    from modalnb.api.function import Function
    from modalnb.api.members import enter, exit, method
    from modalnb.api.parameters import parameter
    from modalnb.api.progress import enable_output
    from modalnb.api.schedules import Cron, Period
    from modalnb.api.web import asgi_app, fastapi_endpoint, web_server, wsgi_app
    from modalnb.configuration import config
    from modalnb.settings import Retries

#: Which public names each module has; it is imported when one of them is first used.
_HOMES = {
    "modalnb": "exception experimental",
    "modalnb.api.app": "App",
    "modalnb.api.call": "FunctionCall",
    "modalnb.api.cls": "Cls",
    "modalnb.api.current": "connect current_function_call_id current_input_id is_local",
    "modalnb.api.decorators": "batched concurrent",
    "modalnb.api.function": "Function",
    "modalnb.api.members": "enter exit method",
    "modalnb.api.parameters": "parameter",
    "modalnb.api.progress": "enable_output",
    "modalnb.api.schedules": "Cron Period",
    "modalnb.api.web": "asgi_app fastapi_endpoint web_server wsgi_app",
    "modalnb.configuration": "config",
    "modalnb.settings": "Retries",
}

_EXTENSION = "modalnb.notebook.extension"

__all__ = [
    "App",
    "Cls",
    "Cron",
    "Function",
    "FunctionCall",
    "Period",
    "Retries",
    "asgi_app",
    "batched",
    "concurrent",
    "config",
    "connect",
    "current_function_call_id",
    "current_input_id",
    "enable_output",
    "enter",
    "exception",
    "exit",
    "experimental",
    "fastapi_endpoint",
    "is_local",
    "method",
    "parameter",
    "web_server",
    "wsgi_app",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module 'modalnb' has no attribute {name!r}")
    if home == __name__:
        value: Any = importlib.import_module(f"{home}.{name}")
    else:
        value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Add the magics and live views to a notebook; called by ``%load_ext modalnb``."""
    importlib.import_module(_EXTENSION).load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take them out again; called by ``%unload_ext modalnb``."""
    importlib.import_module(_EXTENSION).unload()


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
