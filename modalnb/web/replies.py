"""What the gateway itself answers: problems as JSON, in the form of RFC 9457."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from modalnb.web.asgi import Scope, Send

Headers = list[tuple[bytes, bytes]]


class ProblemError(Exception):
    """A request that the gateway cannot have answered, and what it says instead."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: float | None = None,
        headers: Headers | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.facts = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **facts,
        }
        self.headers = headers or []
        if retry_after is not None:
            self.headers.append((b"retry-after", b"%d" % max(1, -int(-retry_after // 1))))


async def reply(
    send: Send, status: int, body: bytes, kind: bytes, headers: Headers | None = None
) -> None:
    """Send a whole response."""
    head = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def reply_problem(scope: Scope, send: Send, problem: ProblemError) -> None:
    """Send a problem: as a response, or as the refusal of a WebSocket."""
    body = json.dumps(problem.facts).encode()
    if scope["type"] == "http":
        await reply(send, problem.status, body, b"application/problem+json", problem.headers)
        return
    head = [(b"content-type", b"application/problem+json"), *problem.headers]
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": head})
    await send({"type": "websocket.http.response.body", "body": body})
