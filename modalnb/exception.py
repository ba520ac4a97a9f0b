"""The errors of modalnb: one tree, each class a sentence, each holding its facts as attributes.

    Error
    ├── InvalidError                a parameter, name or use that can never work
    ├── NotFoundError               no app, function or call of that name or id
    ├── ExecutionError              a call that cannot be carried out as things stand
    │   └── ResourceUnavailableError  no machine here has the devices or the memory asked for
    ├── ConnectionError             an engine cannot be reached (also builtins.ConnectionError)
    ├── VersionError                the two ends speak different protocol versions
    ├── ResourceExhaustedError      a limit is reached; nothing was lost, try again later
    ├── SerializationError          an argument, result or exception cannot be pickled
    ├── DeserializationError        a value arrived but cannot be rebuilt here
    ├── RemoteError                 a failure in a container that cannot be shown as itself
    │   ├── ContainerLostError      an input lost its container too often
    │   └── InputCancelledError     the input was cancelled before it had a result
    └── TimeoutError                something took too long (also builtins.TimeoutError)
        ├── FunctionTimeoutError    an input ran past its timeout
        └── OutputExpiredError      the result was kept for its time and is gone

``InputCancellation`` is raised *inside* user code and derives from ``BaseException``, as in Modal,
so that ``except Exception`` does not swallow it.
"""

from __future__ import annotations

import builtins
from typing import Any

__all__ = [
    "ConnectionError",
    "ContainerLostError",
    "DeserializationError",
    "Error",
    "ExecutionError",
    "FunctionTimeoutError",
    "InputCancellation",
    "InputCancelledError",
    "InvalidError",
    "NotFoundError",
    "OutputExpiredError",
    "RemoteError",
    "ResourceExhaustedError",
    "ResourceUnavailableError",
    "SerializationError",
    "TimeoutError",
    "UnsupportedWarning",
    "VersionError",
]


class Error(Exception):
    """Base class of every error that modalnb raises."""


class InvalidError(Error):
    """A parameter, name or use that can never work; the text says the rule and the value."""


class NotFoundError(Error):
    """There is no app, function or call of that name or id."""


class ExecutionError(Error):
    """The call cannot be carried out as things stand; the text says what stands in the way."""


class ResourceUnavailableError(ExecutionError):
    """No machine here has the devices or the memory that one container of the function needs.

    The text says what was asked for, what there is, and the ways out.
    """


class ConnectionError(Error, builtins.ConnectionError):  # Modal's name for it
    """An engine or a scheduler cannot be reached."""


class VersionError(Error):
    """The two ends of a connection run different versions of modalnb, Dask or Python."""


class SerializationError(Error):
    """A value cannot be pickled; the text names the object and the path to it."""


class DeserializationError(Error):
    """A value arrived but cannot be rebuilt here, most often because a module is missing."""


class RemoteError(Error):
    """A failure inside a container that cannot be shown as the exception that it was."""


class InputCancelledError(RemoteError):
    """The input was cancelled before it had a result."""


class TimeoutError(Error, builtins.TimeoutError):  # Modal's name for it
    """Something took longer than it may."""


class OutputExpiredError(TimeoutError):
    """The result was kept for its time and has been thrown away since."""


class InputCancellation(BaseException):
    """Raised inside user code when its input is cancelled."""


class UnsupportedWarning(UserWarning):
    """A parameter of Modal's was accepted and has no effect here."""


class _FactsError(Error):
    """An error made of keyword facts, which survive pickling."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(self._text(**facts))
        self._facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def _text(self, **facts: Any) -> str:
        raise AssertionError("each subclass words its own facts")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._facts)


def _rebuild(kind: type[_FactsError], facts: dict[str, Any]) -> _FactsError:
    return kind(**facts)


class ResourceExhaustedError(_FactsError):
    """A limit is reached: the input was refused, nothing was lost, and it can be sent again.

    Attributes
    ----------
    limit : str
        Name of the limit, such as ``"pending inputs"``.
    current, maximum : int
        How many there are, and how many there may be.
    function : str
        The function whose limit it is.
    retryable : bool
        Whether sending the same input later can work.
    """

    limit: str
    current: int
    maximum: int
    function: str
    retryable: bool

    def __init__(
        self, *, limit: str, current: int, maximum: int, function: str, retryable: bool = True
    ) -> None:
        super().__init__(
            limit=limit,
            current=current,
            maximum=maximum,
            function=function,
            retryable=retryable,
        )

    def _text(self, **facts: Any) -> str:
        advice = (
            "Send it again later with a growing delay, use `.map()`, which waits by itself, "
            "or set `modalnb.config.max_throttle_wait`."
            if facts["retryable"]
            else "Sending it again will not help."
        )
        return (
            f"`{facts['function']}` has {facts['current']:,} of at most {facts['maximum']:,} "
            f"{facts['limit']}; the input was not accepted. {advice}"
        )


class FunctionTimeoutError(_FactsError, TimeoutError):
    """An input ran longer than the ``timeout`` of its function, in its last attempt.

    Attributes
    ----------
    function : str
        The function that was running.
    timeout : float
        Seconds that it may take.
    """

    function: str
    timeout: float

    def __init__(self, *, function: str, timeout: float) -> None:
        super().__init__(function=function, timeout=timeout)

    def _text(self, **facts: Any) -> str:
        return (
            f"`{facts['function']}` ran longer than its timeout of {facts['timeout']:g} s. "
            "Give it more time with `timeout=`, or smaller inputs."
        )


class ContainerLostError(_FactsError, RemoteError):
    """An input lost its container so often that it is taken to be the cause.

    Attributes
    ----------
    function : str
        The function that was running.
    losses : tuple of str
        What happened each time, oldest first.
    """

    function: str
    losses: tuple[str, ...]

    def __init__(self, *, function: str, losses: tuple[str, ...]) -> None:
        super().__init__(function=function, losses=losses)

    def _text(self, **facts: Any) -> str:
        story = "\n".join(f"  {n}. {text}" for n, text in enumerate(facts["losses"], 1))
        times = len(facts["losses"])
        return (
            f"`{facts['function']}` lost its container {times} time{'s' * (times != 1)}, "
            f"so the input was given up:\n{story}"
        )
