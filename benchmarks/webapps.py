"""The same two apps for uvicorn and for a web function: of FastAPI, and without a framework."""

from __future__ import annotations

import asyncio
from typing import Any

PIECE = b"x" * 65536
#: A stream of events, as a language model answers.
EVENTS, EVENT_SECONDS = 100, 0.01
EVENT = b"data: " + b"x" * 100 + b"\n\n"


def make_bare() -> Any:
    """An ASGI app that does next to nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            return
        if scope["query_string"] == b"events":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(EVENTS):
                await send({"type": "http.response.body", "body": EVENT, "more_body": True})
                await asyncio.sleep(EVENT_SECONDS)
            await send({"type": "http.response.body", "body": b""})
            return
        count = int(scope["query_string"] or 0)
        if count:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(count):
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def make_fastapi() -> Any:
    """A FastAPI app with one route."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    async def root(name: str = "world") -> dict[str, str]:
        return {"hello": name}

    return app


MAKERS = {"FastAPI": make_fastapi, "bare ASGI": make_bare}
