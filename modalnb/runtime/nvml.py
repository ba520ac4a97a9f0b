"""A program of its own that asks the NVIDIA driver: a line in, a line of JSON out.

It runs beside whoever wants to know, because a driver may hang where no signal gets through, or
crash: then only this process suffers.  It imports nothing of modalnb, so that it starts fast.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

Facts = dict[str, Any]

#: Answers that only say that the driver does not tell: of a MIG slice no utilization, for instance.
_SILENT = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_NOT_READY,
    }
)
_PR_SET_PDEATHSIG = 1


def read_devices() -> list[Facts]:
    """All devices that this process may use; MIG slices stand in the place of their device."""
    devices = [
        facts for index in range(pynvml.nvmlDeviceGetCount()) for facts in _read_device(index)
    ]
    return _visible(devices, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _read_device(index: int) -> list[Facts]:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        slices = _slices(handle)
    except pynvml.NVMLError as error:
        return [{"index": index, "uuid": "", "name": "", "error": str(error)}]
    if slices is None:
        return [_facts(handle, index)]
    if not slices:
        return [{**_facts(handle, index), "error": "MIG is on, but the device has no slices"}]
    return [_facts(one, index) for one in slices]


def _slices(handle: Any) -> list[Any] | None:
    """The MIG slices of a device; None if it is whole."""
    mode = _value(pynvml.nvmlDeviceGetMigMode, handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    found = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            found.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number))
        except pynvml.NVMLError_NotFound:
            continue
    return found


def _facts(handle: Any, index: int) -> Facts:
    """What the driver tells of one device; `error` is the first thing that it could not."""
    facts: Facts = {"index": index, "uuid": "", "name": "", "error": None}
    try:
        for name, value in _told(handle):
            facts[name] = value
    except pynvml.NVMLError as error:
        facts["error"] = str(error)
    return facts


def _told(handle: Any) -> Iterator[tuple[str, Any]]:
    uuid = pynvml.nvmlDeviceGetUUID(handle)
    yield "uuid", uuid.decode() if isinstance(uuid, bytes) else uuid
    yield "name", pynvml.nvmlDeviceGetName(handle)
    memory = _value(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if memory is None:
        # Drivers before 510 know the first version only, which counts what is reserved as used.
        memory = _value(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if memory is not None:
        yield "memory_total", memory.total
        yield "memory_used", memory.used
    rates = _value(pynvml.nvmlDeviceGetUtilizationRates, handle)
    if rates is not None:
        yield "utilization", rates.gpu


def _value(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the driver answers; None if it does not tell."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _SILENT:
            return None
        raise


def _visible(devices: list[Facts], allowed: str | None) -> list[Facts]:
    """Those of the devices that ``CUDA_VISIBLE_DEVICES`` allows, by index or start of the uuid.

    As for CUDA, what follows an unknown entry does not count.  An index is taken as the driver
    counts, in the order of the bus.
    """
    if allowed is None:
        return devices
    chosen: list[Facts] = []
    for entry in allowed.split(","):
        entry = entry.strip()
        found = [
            device
            for device in devices
            if (entry.isdecimal() and device["index"] == int(entry))
            or (entry and device["uuid"].startswith(entry))
        ]
        if not found:
            break
        chosen += [device for device in found if device not in chosen]
    return chosen


def _answer() -> Facts:
    try:
        return {"devices": read_devices(), "error": None}
    except pynvml.NVMLError as error:
        return {"devices": [], "error": str(error)}


def _die_with_parent(parent: int) -> None:
    """Nobody reads the answers of an orphan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit(0)


def main() -> None:
    """Answer each line until there are no more, or until the driver has to be opened anew."""
    _die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    is_open = False
    for _ in sys.stdin:
        try:
            if not is_open:
                pynvml.nvmlInit()
                is_open = True
            answer = _answer()
        except pynvml.NVMLError as error:
            answer = {"devices": [], "error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if answer["error"]:
            break


if __name__ == "__main__":
    main()
