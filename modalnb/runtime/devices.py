"""The GPUs of this host, as its NVIDIA driver tells, which may hang or crash without harm."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
#: Whoever asks is told after so many seconds that the driver does not answer.
ANSWER_SECONDS = 2.0
#: The process that asks the driver ends when nobody has wanted to know for so long.
IDLE_SECONDS = 30.0
_PROGRAM = Path(__file__).with_name("nvml.py")


@dataclass(frozen=True, slots=True)
class Reading:
    """The devices as plain facts, and why they are not known if that is so."""

    devices: tuple[dict[str, Any], ...] = ()
    error: str | None = None


def has_driver() -> bool:
    """Whether the library of the driver is installed; without it there is nothing to ask."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


class DeviceReader:
    """Asks the driver through a process that is started when first needed.

    It sees the devices that ``CUDA_VISIBLE_DEVICES`` allowed when the reader was made.
    """

    def __init__(self) -> None:
        self._env = dict(os.environ)
        self._process: asyncio.subprocess.Process | None = None
        self._asking: asyncio.Task[Reading] | None = None
        self._asked_at = 0.0
        self._retirement: asyncio.TimerHandle | None = None

    async def read(self, seconds: float = ANSWER_SECONDS) -> Reading:
        """The devices now; a driver that does not answer in time is an error in the reading."""
        if not has_driver():
            return Reading()
        if self._asking is None:
            self._asked_at = time.monotonic()
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(self._answered)
        asking = self._asking
        await asyncio.wait([asking], timeout=seconds)
        if asking.done() and not asking.cancelled():
            return asking.result()
        waited = time.monotonic() - self._asked_at
        return Reading(error=f"the NVIDIA driver has not answered for {waited:.0f} s")

    def close(self) -> None:
        """End the process, whatever the driver does to it."""
        if self._retirement is not None:
            self._retirement.cancel()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        if self._asking is not None:
            self._asking.cancel()

    def _answered(self, _: asyncio.Task[Reading]) -> None:
        self._asking = None
        if self._retirement is not None:
            self._retirement.cancel()
        loop = asyncio.get_running_loop()
        self._retirement = loop.call_later(IDLE_SECONDS, self.close)

    async def _ask(self) -> Reading:
        try:
            process = await self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"\n")
            line = await process.stdout.readline()
        except OSError as error:
            self._process = None
            return Reading(error=f"the NVIDIA driver could not be asked: {error}")
        if not line:
            self._process = None
            return Reading(error="the NVIDIA driver crashed when it was asked")
        answer = json.loads(line)
        if answer["error"]:
            # It ends by itself, so that the next one opens the driver anew.
            self._process = None
        return Reading(tuple(answer["devices"]), answer["error"])

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(_PROGRAM),
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._env,
            )
        return self._process
