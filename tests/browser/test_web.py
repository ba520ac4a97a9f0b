"""A page of a web function in a real browser: links, streams, events and WebSockets."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

import modalnb
from modalnb.api.web_url import WebUrl
from tests.browser.jupyter import Open, Server

SETUP = '''
import asyncio
from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse
import modalnb as modal

app = modal.App("pages")

PAGE = """<!doctype html><title>page</title><link rel="icon" href="data:,">
<p id="stream"></p><p id="events"></p><p id="socket"></p>
<script>
const write = (id, text) => document.getElementById(id).textContent += text;
(async () => {
  const answer = await fetch("words");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = 0;
  for (let part; !(part = await reader.read()).done; parts++) write("stream", part.value);
  write("stream", parts > 1 ? "in parts" : "in one piece");
})();
const source = new EventSource("events");
source.onmessage = event => { write("events", event.data); if (event.data == "3") source.close(); };
const socket = new WebSocket(new URL("socket", location.href.replace("http", "ws")));
socket.onopen = () => socket.send("hello");
socket.onmessage = event => { write("socket", event.data); socket.close(); };
</script>"""

@app.function(max_containers=1)
@modal.concurrent(max_inputs=10)
@modal.asgi_app()
def web():
    site = FastAPI()

    @site.get("/")
    def page():
        return HTMLResponse(PAGE)

    async def pieces(words):
        for word in words:
            yield word
            await asyncio.sleep(0.1)

    @site.get("/words")
    def words():
        return StreamingResponse(pieces(["one ", "two ", "three "]))

    @site.get("/events")
    def events():
        data = [f"data: {n}\\n\\n" for n in (1, 2, 3)]
        return StreamingResponse(pieces(data), media_type="text/event-stream")

    @site.websocket("/socket")
    async def socket(ws: WebSocket):
        await ws.accept()
        await ws.send_text(await ws.receive_text() + " to you")

    return site
'''


def test_page_streams_in_a_notebook(open_notebook: Open) -> None:
    """The link of the URL leads to it, and a frame in the notebook shows it live."""
    cells = [
        SETUP,
        "url = web.get_web_url()\nurl",
        "from IPython.display import IFrame\nIFrame(url.link, 400, 200)",
    ]
    notebook = open_notebook(cells)
    for cell in range(3):
        notebook.run(cell)
    link = notebook.output(1).locator("a")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/pages/web/", link.get_attribute("href"))
    frame = notebook.output(2).frame_locator("iframe")
    for name, text in (
        ("stream", "one two three in parts"),
        ("events", "123"),
        ("socket", "hello to you"),
    ):
        frame.locator(f"#{name}", has_text=text).wait_for()


def test_web_function_is_found_through_jupyter_server_proxy(
    app: modalnb.App, jupyter: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Binder: the link leads through the Jupyter server, and the app knows its own URL."""

    @app.function(max_containers=1)
    @modalnb.asgi_app()
    def where() -> Any:
        async def web(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                raise NotImplementedError
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": scope["query_string"].decode()})
                await send({"type": "websocket.close"})
                return
            body = f"{scope['root_path']} {scope['path']}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        return web

    url = where.get_web_url()
    assert isinstance(url, WebUrl)
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/")
    port = urlsplit(url).port
    assert url.link == f"/proxy/{port}/test-app/where/"
    root = f"/proxy/{port}/test-app/where"
    headers = {"Authorization": f"token {jupyter.token}"}
    answer = httpx.get(f"{jupyter.origin}{url.link}page", headers=headers, timeout=30)
    assert answer.text == f"{root} {root}/page"
    address = f"{jupyter.origin}{url.link}?n=1".replace("http", "ws", 1)
    with connect(address, additional_headers=headers, proxy=None) as socket:
        assert socket.recv(timeout=30) == "n=1"
