"""The web functions that the tests talk to; one app, so that few containers start."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI, Header, HTTPException, Path, Query, Request, Response, WebSocket
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.websockets import WebSocketDisconnect

import modalnb as modal


class Item(BaseModel):
    """What the store has."""

    name: str
    price: float | None = None
    tags: list[str] = []


def make_site() -> modal.App:
    """An app with a web function of each kind."""
    app = modal.App("site")

    @app.function(max_containers=1, timeout=3)
    @modal.concurrent(max_inputs=50)
    @modal.asgi_app()
    def api():
        """Whatever a test wants to know of requests and responses."""
        events = []

        @asynccontextmanager
        async def lifespan(app):
            yield {"started": "yes"}

        web = FastAPI(lifespan=lifespan)

        @web.api_route("/echo", methods=["GET", "POST", "PUT", "OPTIONS"])
        async def echo(request: Request):
            scope = request.scope
            return {
                "method": request.method,
                "path": scope["path"],
                "raw_path": scope["raw_path"].decode(),
                "root_path": scope["root_path"],
                "query": scope["query_string"].decode(),
                "url": str(request.url),
                "headers": [[n.decode(), v.decode("latin-1")] for n, v in scope["headers"]],
                "body": (await request.body()).decode("latin-1"),
                "state": request.state.started,
                "input_id": modal.current_input_id(),
            }

        @web.post("/size")
        async def size(request: Request):
            total = 0
            async for piece in request.stream():
                total += len(piece)
            return {"size": total}

        async def mirror(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            more = True
            while more:
                event = await receive()
                more = event.get("more_body", False)
                body = event.get("body", b"")
                await send({"type": "http.response.body", "body": body, "more_body": more})

        web.mount("/mirror", mirror)

        @web.get("/bytes/{count}")
        async def many(count: int):
            async def pieces():
                left = count
                while left:
                    piece = b"x" * min(left, 65536)
                    left -= len(piece)
                    yield piece

            return StreamingResponse(pieces(), media_type="application/octet-stream")

        @web.get("/events")
        async def sse():
            async def pieces():
                for n in range(3):
                    yield f"data: {n}\n\n"
                    await asyncio.sleep(0.05)

            return StreamingResponse(pieces(), media_type="text/event-stream")

        @web.get("/forever")
        async def forever():
            async def pieces():
                events.append("forever begins")
                try:
                    while True:
                        yield b"tick\n"
                        await asyncio.sleep(0.01)
                finally:
                    events.append("forever ends")

            return StreamingResponse(pieces())

        @web.get("/slow")
        async def slow(seconds: float):
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                events.append("slow was cancelled")
                raise
            return "slow"

        @web.get("/log")
        async def log():
            return events

        @web.get("/fail")
        async def fail():
            raise RuntimeError("on purpose")

        @web.get("/break")
        async def break_off():
            async def pieces():
                yield b"some"
                raise RuntimeError("on purpose")

            return StreamingResponse(pieces())

        @web.get("/headers")
        async def headers():
            response = Response("x")
            response.raw_headers += [
                (b"connection", b"x-secret"),
                (b"x-secret", b"1"),
                (b"keep-alive", b"timeout=5"),
                (b"set-cookie", b"a=1"),
                (b"set-cookie", b"b=2"),
            ]
            return response

        @web.get("/background")
        async def background():
            async def later():
                events.append("background begins")
                await asyncio.sleep(0.2)
                events.append("background ends")

            return PlainTextResponse("answered", background=BackgroundTask(later))

        @web.websocket("/ws")
        async def socket(websocket: WebSocket):
            await websocket.accept(
                subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None
            )
            try:
                while True:
                    message = await websocket.receive()
                    if message["type"] == "websocket.disconnect":
                        events.append(f"closed {message['code']}")
                        return
                    if message.get("text") == "close":
                        await websocket.close(4001, "as asked")
                        return
                    if message.get("text") == "big":
                        await websocket.send_text("x" * (2 * 2**20 + 1))
                    elif message.get("text") is not None:
                        await websocket.send_text(message["text"])
                    else:
                        await websocket.send_bytes(message["bytes"])
            except WebSocketDisconnect:
                events.append("disconnected")

        @web.websocket("/refused")
        async def refused(websocket: WebSocket):
            await websocket.close(4003)

        return web

    @app.function(max_containers=1)
    @modal.asgi_app()
    def bulk():
        """Counts what it is sent; sends as many mebibytes as its path says."""

        async def web(scope, receive, send):
            if scope["type"] == "lifespan":
                raise NotImplementedError
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope["method"] == "POST":
                count, more = 0, True
                while more:
                    event = await receive()
                    count += len(event["body"])
                    more = event["more_body"]
                await send({"type": "http.response.body", "body": str(count).encode()})
                return
            piece = b"x" * 2**16
            for _ in range(16 * int(scope["path"].rpartition("/")[2])):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        return web

    @app.function(max_containers=2)
    @modal.concurrent(max_inputs=2)
    @modal.asgi_app()
    def fragile():
        """An app without a framework, so that its containers are quickly replaced."""
        import os

        async def web(scope, receive, send):
            if scope["type"] == "lifespan":
                raise NotImplementedError
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": str(os.getpid())})
                await asyncio.sleep(60)
            seconds = float(scope["query_string"] or 0)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope["path"].endswith("/begun"):
                pid = str(os.getpid()).encode()
                await send({"type": "http.response.body", "body": pid, "more_body": True})
            await asyncio.sleep(seconds)
            await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

        async def late(scope, receive, send):
            """As `web`, but nothing is sent before the time has passed."""
            if scope["type"] == "http" and scope["path"].endswith("/late"):
                await asyncio.sleep(float(scope["query_string"] or 0))
                scope = {**scope, "query_string": b""}
            await web(scope, receive, send)

        return late

    @app.cls(max_containers=1)
    @modal.concurrent(max_inputs=5)
    class Shop:
        name: str = modal.parameter(default="corner")
        shelves: int = modal.parameter(default=1)

        @modal.enter()
        async def open(self):
            # A lock belongs to the loop on which it is first waited for.
            self.lock = asyncio.Lock()
            self.log = ["opened"]

        @modal.asgi_app()
        def web(self):
            shop = FastAPI()

            @shop.get("/stock")
            async def stock(request: Request):
                async with self.lock:
                    return {"shop": self.name, "shelves": self.shelves, "log": self.log}

            return shop

        @modal.fastapi_endpoint(method="POST")
        def sell(self, item: str):
            self.log.append(item)
            return f"{item} from {self.name}"

        @modal.method()
        def sold(self):
            return self.log

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=10)
    @modal.asgi_app()
    def store():
        """A small API with a schema, for a tester that reads it."""
        web = FastAPI()
        items: dict[int, Item] = {}

        @web.get("/items")
        async def every(limit: int = Query(default=10, ge=1, le=100)) -> list[Item]:
            return list(items.values())[:limit]

        @web.put("/items/{key}", responses={409: {"description": "there is another one"}})
        async def put(item: Item, key: int = Path(ge=0, lt=2**31)) -> Item:
            if key in items and items[key].name != item.name:
                raise HTTPException(409, "there is another one")
            items[key] = item
            return item

        @web.delete("/items/{key}", status_code=204, responses={404: {"description": "none"}})
        async def delete(key: int = Path(ge=0, lt=2**31)) -> None:
            if items.pop(key, None) is None:
                raise HTTPException(404, "none")

        @web.post("/upload")
        async def upload(request: Request, note: str = Header(default="", max_length=20)) -> int:
            return len(await request.body())

        return web

    @app.function(max_containers=1)
    @modal.asgi_app()
    def broken():
        raise RuntimeError("cannot be built")

    @app.function()
    @modal.fastapi_endpoint(docs=True, method="POST", label="double")
    def twice(n: int):
        return {"twice": 2 * n}

    @app.function()
    @modal.fastapi_endpoint(requires_proxy_auth=True)
    def locked():
        return "inside"

    @app.function()
    @modal.concurrent(max_inputs=4)
    @modal.wsgi_app()
    def flask_app():
        import time

        from flask import Flask, Response, request, url_for

        flask = Flask("flask_app")

        @flask.route("/", methods=["GET", "POST"])
        def root():
            return {
                "path": request.path,
                "here": url_for("root"),
                "body": request.get_data(as_text=True),
                "input_id": modal.current_input_id(),
            }

        @flask.route("/stream")
        def stream():
            def pieces():
                for n in range(3):
                    yield f"{n}\n"
                    time.sleep(0.02)

            return Response(pieces(), mimetype="text/plain")

        return flask

    @app.function(max_containers=1, scaledown_window=0.5)
    @modal.concurrent(max_inputs=8)
    @modal.web_server(18719)
    def program():
        import os
        import subprocess
        import sys
        import textwrap

        code = """
            import os, sys
            from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                def do_GET(self):
                    if self.path == "/die":
                        os._exit(3)
                    self.answer(f"{os.getpid()} {self.path}")
                def do_POST(self):
                    if self.headers.get("transfer-encoding") == "chunked":
                        body = b""
                        while size := int(self.rfile.readline(), 16):
                            body += self.rfile.read(size)
                            self.rfile.readline()
                        self.rfile.readline()
                    else:
                        body = self.rfile.read(int(self.headers["content-length"]))
                    self.answer(body.decode())
                def answer(self, text):
                    self.send_response(200)
                    self.send_header("content-length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text.encode())
                def log_message(self, *args):
                    pass

            ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
        """
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=dict(os.environ))

    return app
