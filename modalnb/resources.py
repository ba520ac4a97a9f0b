"""What one container asks for: devices, cores and memory, checked where they are declared."""

from __future__ import annotations

import math
import re
from typing import Any

from modalnb.exception import InvalidError

#: Asks for whatever device is free.
ANY = "ANY"

_GPU = re.compile(r"(?P<kind>[A-Z0-9][A-Z0-9. _-]*[!+]?)(?::(?P<count>.*))?", re.DOTALL)


def fields_of(name: str, value: Any) -> dict[str, Any]:
    """The fields of a function's settings that ``gpu=``, ``cpu=`` or ``memory=`` stands for."""
    if name == "gpu":
        return {"gpu": gpu_wishes(value)}
    request, limit = _request_and_limit(name, value)
    return {name: request, f"{name}_limit": limit}


def gpu_wishes(value: Any) -> tuple[str, ...]:
    """The kinds of devices that will do, the best first, as ``"TYPE"`` or ``"TYPE:count"``.

    Examples
    --------
    >>> gpu_wishes(["h100:2", "any"])
    ('H100:2', 'ANY')
    """
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return tuple(_gpu_wish(one) for one in value)
    return (_gpu_wish(value),)


def _gpu_wish(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidError(
            f"`gpu` must be a string or None, or a list of strings; got {value!r}. "
            'Write the type and, if need be, how many: "L40S", "H100:2", "any".'
        )
    kind, count = split_wish(value.strip().upper())
    return kind if count == 1 else f"{kind}:{count}"


def split_wish(wish: str) -> tuple[str, int]:
    """The type and the number of devices of one wish."""
    match = _GPU.fullmatch(wish)
    if match is None:
        raise InvalidError(
            f"`gpu` must name a type of device; got {wish!r}. "
            'Write for instance "L40S", "H100:2" or "any".'
        )
    kind, count = match["kind"].strip(), match["count"]
    if count is None:
        return kind, 1
    if not count.strip().isdecimal():
        raise InvalidError(
            f"The count of `gpu` must be an integer; got {wish!r}. "
            f'Write "{kind}:2" for two devices in each container.'
        )
    if int(count) < 1:
        raise InvalidError(f"The count of `gpu` must be at least 1; got {wish!r}. Use `gpu=None`.")
    return kind, int(count)


def _request_and_limit(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple):
        return value, None
    if len(value) != 2:
        raise InvalidError(
            f"`{name}` must be a number or a (request, limit) pair; got {value!r}. "
            "Give two numbers."
        )
    return value[0], value[1]


def check_cpu(request: Any, limit: Any) -> None:
    """Raise unless these are cores that can be asked for."""
    for what, cores in (("", request), (" limit", limit)):
        if cores is None:
            continue
        if isinstance(cores, bool) or not isinstance(cores, int | float):
            raise InvalidError(
                f"`cpu`{what} must be a number of cores; got {cores!r}. Give an int or a float."
            )
        if not 0 < cores < math.inf:
            raise InvalidError(
                f"`cpu`{what} must be above 0 cores; got {cores}. Without it, use is measured."
            )
    _check_order("cpu", request, limit)


def check_memory(request: Any, limit: Any) -> None:
    """Raise unless these are mebibytes that can be asked for."""
    for what, mebibytes in (("", request), (" limit", limit)):
        if mebibytes is None:
            continue
        if isinstance(mebibytes, bool) or not isinstance(mebibytes, int):
            raise InvalidError(
                f"`memory`{what} must be an int of MiB; got {mebibytes!r}. "
                "Give a whole number, such as 1024 for one GiB."
            )
        if mebibytes < 1:
            raise InvalidError(
                f"`memory`{what} must be at least 1 MiB; got {mebibytes}. Give 1 or more."
            )
    _check_order("memory", request, limit)


def _check_order(name: str, request: Any, limit: Any) -> None:
    if limit is not None and request is not None and limit < request:
        raise InvalidError(
            f"`{name}` limit ({limit}) cannot be less than its request ({request}). "
            "Give them as (request, limit)."
        )
