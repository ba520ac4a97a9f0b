"""Tells an ASGI app that its container starts and ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from modalnb.exception import ExecutionError
from modalnb.runtime.asgi import App, Event

#: How long an app may take to shut down.
SHUTDOWN_SECONDS = 30.0


class Lifespan:
    """The lifespan of one app in one container; apps that know none are left alone."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._answer: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None
        #: What the app wants to find in the scope of each of its requests.
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Let the app start up.

        Raises
        ------
        Exception
            What the app raised, or ExecutionError if it only said that it failed.
        """
        self._task = asyncio.create_task(self._run())
        # Apps that know no lifespan raise when they are asked about theirs, and that is fine.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        answer = await self._tell("lifespan.startup")
        if answer is not None:
            await asyncio.wait([self._task], timeout=1.0)
            if self._task.done() and (error := self._task.exception()) is not None:
                raise error
            raise ExecutionError(f"The app failed to start up: {_words(answer)}")

    async def stop(self) -> None:
        """Let the app shut down, if it has started up and still listens."""
        if self._task is None or self._task.done():
            return
        try:
            reason = await asyncio.wait_for(self._tell("lifespan.shutdown"), SHUTDOWN_SECONDS)
            if reason is not None:
                sys.stderr.write(f"The app failed to shut down: {_words(reason)}\n")
        except TimeoutError:
            sys.stderr.write(f"The app did not shut down within {SHUTDOWN_SECONDS:g} s.\n")
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _tell(self, kind: str) -> str | None:
        """Send an event and wait for the answer; the reason if the app says that it failed."""
        assert self._task is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": kind})
        parts: list[asyncio.Future[Any]] = [self._answer, self._task]
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        # An app that ends instead of answering does not know the protocol.
        return self._answer.result() or None if self._answer.done() else None

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._events.get, self._send)

    async def _send(self, event: Event) -> None:
        if self._answer is not None and not self._answer.done():
            is_failure = event["type"].endswith(".failed")
            self._answer.set_result(event.get("message") or " " if is_failure else "")


def _words(reason: str) -> str:
    return reason.strip() or "it gave no reason."
