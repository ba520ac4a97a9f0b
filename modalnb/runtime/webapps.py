"""Makes the ASGI app that answers for a web function, by what its decorator says."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from modalnb.exception import ExecutionError, InvalidError
from modalnb.runtime.asgi import App
from modalnb.runtime.program import Program
from modalnb.websettings import WebSettings

#: Threads that a WSGI app may have at most; as many as it has inputs are started.
MAX_THREADS = 1_000


def build_app(raw: Callable[..., Any], settings: WebSettings) -> App:
    """The app of a web function; runs the user's factory, if it is one.

    Raises
    ------
    ExecutionError
        If a package is missing.
    InvalidError
        If the factory returns what cannot be an app.
    """
    return _BUILDERS[settings.kind](raw, settings)


def _build_asgi(raw: Callable[..., Any], _: WebSettings) -> App:
    return _checked(raw(), raw, "an ASGI app")  # type: ignore[no-any-return]


def _build_wsgi(raw: Callable[..., Any], _: WebSettings) -> App:
    app = _checked(raw(), raw, "a WSGI app")
    middleware = _require("a2wsgi").WSGIMiddleware
    return middleware(app, workers=MAX_THREADS)  # type: ignore[no-any-return]


def _build_endpoint(raw: Callable[..., Any], settings: WebSettings) -> App:
    fastapi = _require("fastapi")
    app = fastapi.FastAPI(
        title=raw.__name__,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
    )
    app.add_middleware(
        _require("fastapi.middleware.cors").CORSMiddleware,
        allow_origins=["*"],
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    app.add_api_route("/", raw, methods=[settings.method])
    return app  # type: ignore[no-any-return]


def _build_server(raw: Callable[..., Any], settings: WebSettings) -> App:
    return Program(raw, settings)


def _checked(app: Any, raw: Callable[..., Any], what: str) -> Any:
    if not callable(app):
        raise InvalidError(
            f"`{raw.__name__}` must return {what}; it returned {type(app).__name__}. "
            "Does it lack a `return`?"
        )
    return app


def _require(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ExecutionError(
            f"This needs the package {error.name}, which is not installed here. "
            "Run `pip install 'modalnb[web]'`."
        ) from None


_BUILDERS: dict[str, Callable[[Callable[..., Any], WebSettings], App]] = {
    "asgi_app": _build_asgi,
    "wsgi_app": _build_wsgi,
    "fastapi_endpoint": _build_endpoint,
    "web_server": _build_server,
}
