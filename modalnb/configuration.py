"""Settings of modalnb itself, from the environment and changeable at run time."""

from __future__ import annotations

import os
from typing import Any

from modalnb.exception import InvalidError

_ENV = "MODALNB_"


def _env(name: str, default: str) -> str:
    return os.environ.get(_ENV + name, default)


class Config:
    """What can be set for the whole process.

    Attributes
    ----------
    max_throttle_wait : float
        Seconds for which ``.remote`` and ``.spawn`` wait for a full queue before they raise
        ``ResourceExhaustedError``; 0 raises at once. Environment: ``MODALNB_MAX_THROTTLE_WAIT``.
    progress : bool
        Whether a long ``.map`` may show a bar. Environment: ``MODALNB_PROGRESS=0`` turns it off,
        ``MODALNB_NONINTERACTIVE=1`` too.
    log_tags : bool
        Whether lines that containers print are prefixed with where they come from.
        Environment: ``MODALNB_LOG_TAGS=1``.
    start_timeout : float
        Seconds to wait for an engine to start. Environment: ``MODALNB_START_TIMEOUT``.
    spare : bool
        Whether the engine keeps one unassigned container ready, so that a pool that starts from
        zero waits for an assignment only. Environment: ``MODALNB_SPARE=0``.
    memory_per_container : int
        Bytes that a container is taken to need when the engine works out how many the machine
        can hold. Environment: ``MODALNB_MEMORY_PER_CONTAINER``.
    result_days : float
        Days for which results of ``.spawn`` are kept. Environment: ``MODALNB_RESULT_DAYS``.

    Examples
    --------
    >>> import modalnb
    >>> modalnb.config.max_throttle_wait = 30
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {
            "max_throttle_wait": float(_env("MAX_THROTTLE_WAIT", "0")),
            "progress": _env("PROGRESS", "1") != "0" and _env("NONINTERACTIVE", "0") == "0",
            "log_tags": _env("LOG_TAGS", "0") == "1",
            "start_timeout": float(_env("START_TIMEOUT", "60")),
            "spare": _env("SPARE", "0") == "1",
            "memory_per_container": int(_env("MEMORY_PER_CONTAINER", str(128 * 2**20))),
            "result_days": float(_env("RESULT_DAYS", "7")),
        }

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        raise AttributeError(
            f"`modalnb.config` has no setting {name!r}; there are {sorted(values)}."
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_values":
            super().__setattr__(name, value)
            return
        if name not in self._values:
            raise InvalidError(
                f"`modalnb.config` has no setting {name!r}; there are {sorted(self._values)}."
            )
        kind = type(self._values[name])
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, int | float):
            raise InvalidError(f"`config.{name}` must be a {kind.__name__}; got {value!r}.")
        if value < 0:
            raise InvalidError(f"`config.{name}` must be at least 0; got {value}.")
        self._values[name] = kind(value)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._values.items())
        return f"Config({values})"


config = Config()
