"""The start-up and the shutdown of apps: once for each container, and never in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import modalnb
from modalnb.exception import ExecutionError
from modalnb.runtime.lifespan import Lifespan

Wait = Callable[..., None]


def test_app_starts_up_and_shuts_down_with_its_container(
    engine: None, client: httpx.Client, wait_until: Wait, tmp_path: Path
) -> None:
    log, app = tmp_path / "log", modalnb.App("lifespan")

    @app.function(max_containers=1, scaledown_window=0.2)
    @modalnb.asgi_app()
    def web() -> Any:
        from contextlib import asynccontextmanager

        from fastapi import FastAPI

        def note(word: str) -> None:
            with log.open("a") as file:
                file.write(f"{word} ")

        @asynccontextmanager
        async def lifespan(app: Any) -> Any:
            note("up")
            yield
            await asyncio.sleep(0.05)
            note("down")

        site = FastAPI(lifespan=lifespan)

        @site.get("/")
        def root() -> str:
            note("request")
            return "well"

        return site

    with app.run():
        for _ in range(2):
            assert client.get(f"{web.get_web_url()}/").json() == "well"
        wait_until(lambda: not web.snapshot().containers)
        wait_until(lambda: log.read_text() == "up request request down ")


def _run(app: Any) -> Lifespan:
    async def run() -> Lifespan:
        lifespan = Lifespan(app)
        await lifespan.start()
        await lifespan.stop()
        return lifespan

    return asyncio.run(run())


def test_app_without_lifespan_is_content() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    assert _run(app).state == {}


def test_state_of_the_start_up_is_kept() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["state"]["model"] = 7
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    assert _run(app).state == {"model": 7}


@pytest.mark.parametrize(("message", "text"), [("no disk", "no disk"), ("", "it gave no reason")])
def test_failed_start_up_is_an_error(message: str, text: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": message})

    with pytest.raises(ExecutionError, match=text):
        _run(app)


def test_exception_of_the_start_up_is_the_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "a traceback"})
        raise LookupError("no model")

    with pytest.raises(LookupError, match="no model"):
        _run(app)


def test_failed_shutdown_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "the disk is full"})

    _run(app)
    assert capsys.readouterr().err == "The app failed to shut down: the disk is full\n"


def test_shutdown_that_does_not_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("modalnb.runtime.lifespan.SHUTDOWN_SECONDS", 0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    _run(app)
    assert capsys.readouterr().err == "The app did not shut down within 0.05 s.\n"
