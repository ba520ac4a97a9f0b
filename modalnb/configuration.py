"""Settings of modalnb itself, from the environment and changeable at run time."""

from __future__ import annotations

import math
import os
from typing import Any

from modalnb.exception import InvalidError

_ENV = "MODALNB_"


def _switch(name: str, default: str) -> bool:
    text = os.environ.get(_ENV + name, default)
    if text not in ("0", "1"):
        raise InvalidError(f"`{_ENV}{name}` must be 0 or 1; got {text!r}.")
    return text == "1"


def _number(name: str, default: str, kind: type[float]) -> float:
    text = os.environ.get(_ENV + name, default)
    try:
        value = kind(text)
    except ValueError:
        raise InvalidError(f"`{_ENV}{name}` must be a number; got {text!r}.") from None
    if not 0 <= value < math.inf:
        raise InvalidError(f"`{_ENV}{name}` must be at least 0; got {text}.")
    return value


def _choice(name: str, choices: tuple[str, ...]) -> str:
    text = os.environ.get(_ENV + name, choices[0])
    if text not in choices:
        raise InvalidError(f"`{_ENV}{name}` must be {_either(choices)}; got {text!r}.")
    return text


def _either(choices: tuple[str, ...]) -> str:
    return " or ".join(repr(choice) for choice in choices)


#: What may be done with a function whose GPU is nowhere to be had.
_FALLBACKS = ("error", "cpu")


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
    gpu_fallback : str
        What a call does whose function asks for a GPU that no machine here has: ``"error"``
        raises, ``"cpu"`` runs without one and warns once. Environment:
        ``MODALNB_GPU_FALLBACK``.
    web_host, web_port : str, int
        Where a gateway for web functions that starts from now on listens; port 0 is any that is
        free. Environment: ``MODALNB_WEB_HOST``, ``MODALNB_WEB_PORT``.
    web_domain : str
        Web functions are found under ``<app>--<function>.<domain>`` too, if that name leads to
        the gateway, as names under ``localhost`` do. Environment: ``MODALNB_WEB_DOMAIN``.
    web_rate : float
        Requests a second that a gateway lets pass, in bursts of five seconds' worth; 0 is no
        limit. Environment: ``MODALNB_WEB_RATE``.
    web_redirect : float
        Seconds after which a client whose response has not begun is sent to a URL that has it
        later, as Modal does after 150; 0 lets clients wait. Environment:
        ``MODALNB_WEB_REDIRECT``.

    Examples
    --------
    >>> import modalnb
    >>> modalnb.config.max_throttle_wait = 30
    """

    def __init__(self) -> None:
        is_interactive = _switch("NONINTERACTIVE", "0") is False
        self._values: dict[str, Any] = {
            "max_throttle_wait": _number("MAX_THROTTLE_WAIT", "0", float),
            "progress": _switch("PROGRESS", "1") and is_interactive,
            "log_tags": _switch("LOG_TAGS", "0"),
            "start_timeout": _number("START_TIMEOUT", "60", float),
            "spare": _switch("SPARE", "0"),
            "memory_per_container": _number("MEMORY_PER_CONTAINER", str(128 * 2**20), int),
            "result_days": _number("RESULT_DAYS", "7", float),
            "gpu_fallback": _choice("GPU_FALLBACK", _FALLBACKS),
            "web_host": os.environ.get(_ENV + "WEB_HOST") or "127.0.0.1",
            "web_port": _number("WEB_PORT", "0", int),
            "web_domain": os.environ.get(_ENV + "WEB_DOMAIN") or "localhost",
            "web_rate": _number("WEB_RATE", "200", float),
            "web_redirect": _number("WEB_REDIRECT", "0", float),
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
        if name == "gpu_fallback":
            if value not in _FALLBACKS:
                raise InvalidError(f"`config.{name}` must be {_either(_FALLBACKS)}; got {value!r}.")
            self._values[name] = value
            return
        kind = type(self._values[name])
        if kind is str:
            if not isinstance(value, str) or not value:
                raise InvalidError(f"`config.{name}` must be a str with text; got {value!r}.")
            self._values[name] = value
            return
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, int | float):
            raise InvalidError(f"`config.{name}` must be a {kind.__name__}; got {value!r}.")
        if value < 0:
            raise InvalidError(f"`config.{name}` must be at least 0; got {value}.")
        self._values[name] = kind(value)

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return dict(self._values)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._values.items())
        return f"Config({values})"


config = Config()
