"""The credentials of an engine: made in a process of its own, and passed on as plain text."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable

from distributed import Security

_ROLES = ("client", "scheduler", "worker")
_ALL = ("tls_ca_file", *(f"tls_{role}_{part}" for role in _ROLES for part in ("cert", "key")))
#: A container has no use for those of a scheduler.
_OF_CONTAINERS = tuple(name for name in _ALL if "scheduler" not in name)


def credentials_of(security: Security) -> dict[str, str]:
    """The parts of in-memory credentials that a container needs, fit for JSON."""
    return {name: getattr(security, name) for name in _OF_CONTAINERS}


def begin_credentials() -> Callable[[], Security]:
    """Have temporary credentials made beside what else starts; to be called before any thread is.

    The library that makes them would stay in the memory of the engine for as long as it runs, and
    the search for a key takes time in which another core can do something else.

    Returns
    -------
    callable
        Waits for the credentials, and raises RuntimeError if there are none.
    """
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        _make(sink)
    os.close(sink)

    def take() -> Security:
        with open(source, "rb") as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        if not text:
            raise RuntimeError("The engine's credentials could not be made; see its log.")
        return Security(require_encryption=True, **json.loads(text))

    return take


def _make(sink: int) -> None:
    """Make credentials, pass them on, and leave."""
    status = 1
    try:
        security = Security.temporary()
        with open(sink, "wb") as pipe:
            pipe.write(json.dumps({name: getattr(security, name) for name in _ALL}).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
