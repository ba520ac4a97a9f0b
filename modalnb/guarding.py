"""Keeps what arrives on a stream from doing harm: it is looked at as a whole before it is used.

An exception that escapes from a handler would make Dask close the stream of a container or a
caller, and a message of which one half is carried out would leave inputs that nobody answers for.
A field has the same meaning in all messages, so its name says what it must be.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

Check = Callable[[Any], bool]
#: Told of a message that could not be carried out, and why.
Refuse = Callable[[Mapping[str, Any], str], None]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0


def _seconds(value: Any) -> bool:
    return type(value) in (float, int) and value >= 0


def _table(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _payload(value: Any) -> bool:
    if type(value) is bytes:
        return True
    if isinstance(value, dict):
        file, sizes = value.get("file"), value.get("sizes")
        return isinstance(file, str) and "/" not in file and _each(_count)(sizes)
    return isinstance(value, list | tuple) and bool(value)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def _pair(first: Check, second: Check) -> Check:
    return lambda value: (
        isinstance(value, list | tuple) and len(value) == 2 and first(value[0]) and second(value[1])
    )


def _of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _rows(check: Callable[..., bool]) -> Check:
    """Many tuples; `check` takes the parts of one."""

    def rows(value: Any) -> bool:
        try:
            return isinstance(value, list | tuple) and all(check(*row) for row in value)
        except TypeError:
            return False

    return rows


# These two are asked of every single input: comparing types is the cheapest of all questions.


def _input(lease: Any, call_id: Any, index: Any, code: Any, payload: Any) -> bool:
    is_payload = type(payload) is bytes or _payload(payload)
    has_numbers = type(lease) is int and type(index) is int
    return has_numbers and type(call_id) is str and type(code) is str and is_payload


def _output(lease: Any, status: Any, payload: Any, seconds: Any) -> bool:
    is_payload = type(payload) is bytes or payload is None or _payload(payload)
    is_time = type(seconds) is float or type(seconds) is int
    return type(lease) is int and status in _STATUSES and is_payload and is_time and seconds >= 0


def _element(lease: Any, number: Any, payload: Any) -> bool:
    return _count(lease) and _count(number) and _payload(payload)


def _line(call_id: Any, stream: Any, text: Any) -> bool:
    return (call_id is None or _text(call_id)) and _text(stream) and _text(text)


#: How an invocation can end, as its container sees it.
_STATUSES = frozenset({"ok", "error", "cancelled"})

_FIELDS: dict[str, Check] = {
    "app": _pair(_text, _text),
    "ask_id": _count,
    "blob": _optional(_payload),
    "by": _optional(_pair(_text, _count)),
    "call_id": _text,
    "closed": _flag,
    "code": _optional(_text),
    "container_id": _text,
    "cpu": _seconds,
    "device_error": _optional(_text),
    "devices": _optional(_each(_table)),
    "error": _optional(_text),
    "failure": _optional(_payload),
    "function": _text,
    "host": _text,
    "index": _count,
    "init": _optional(_payload),
    "inputs": _rows(_input),
    "interface": _table,
    "items": _rows(_element),
    "kind": _of("live", "durable"),
    "lease": _count,
    "leases": _each(_count),
    "lines": _rows(_line),
    "max_inputs": _positive,
    "memory": _count,
    "outputs": _rows(_output),
    "over_limit": _flag,
    "parent": _optional(_pair(_text, _count)),
    "patient": _flag,
    "payloads": _each(_payload),
    "pid": _count,
    "pool_id": _text,
    "settings": _table,
    "slots": _positive,
    "start": _count,
    "stop": _count,
    "story": _text,
    "taken": _count,
    "timeout": _seconds,
    "verb": _text,
}


def wrong_field(message: Mapping[str, Any]) -> str | None:
    """The name of a field that is not what it must be; None if there is none."""
    for name, value in message.items():
        check = _FIELDS.get(name)
        if check is not None and not check(value):
            return name
    return None


def guarded(handler: Callable[..., None]) -> Callable[..., None]:
    """The handler, out of which nothing that it raises escapes."""

    @functools.wraps(handler)
    def guard(*args: Any, **message: Any) -> None:
        try:
            handler(*args, **message)
        except Exception:
            logger.exception("modalnb: %s failed on %.300r", handler.__name__, message)

    return guard


def checked(handler: Callable[..., None], refuse: Refuse | None = None) -> Callable[..., None]:
    """The handler, guarded, and called only with messages whose fields are what they must be."""

    @functools.wraps(handler)
    def check(**message: Any) -> None:
        wrong = wrong_field(message)
        if wrong is None:
            try:
                handler(**message)
                return
            except Exception as error:
                logger.exception("modalnb: %s failed on %.300r", handler.__name__, message)
                why = f"{type(error).__name__}: {error}"
        else:
            why = f"`{wrong}` cannot be {message[wrong]!r:.100}"
            logger.error("modalnb: %s got a wrong message: %s", handler.__name__, why)
        if refuse is not None:
            refuse(message, why)

    return check
