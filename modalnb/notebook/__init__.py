"""The notebook: magics, job cards and live views, and what the magics do as plain calls.

``jobs()``, ``cancel("j3")``, ``logs("j3")``, ``containers()``, ``autoscaler(f)``, ``run_cell("…")``
and ``doctor()`` do what ``%jobs``, ``%cancel``, ``%logs``, ``%containers``, ``%autoscaler``,
``%%remote`` and ``%modalnb doctor`` do; ``find_job("j3")`` is the job itself. Nothing is imported
before it is asked for.
"""

from __future__ import annotations

from typing import Any

_CALLS = frozenset(
    {"autoscaler", "cancel", "containers", "doctor", "find_job", "jobs", "logs", "run_cell"}
)


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module 'modalnb.notebook' has no attribute {name!r}")
    from modalnb.notebook import plain

    return getattr(plain, name)
