"""Web decorators: what they note on a function, and what ``@app.function`` makes of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from modalnb.api.decorators import batching_of
from modalnb.exception import InvalidError
from modalnb.interface import Interface
from modalnb.runtime.service import Service
from modalnb.websettings import ATTRIBUTE, WebSettings, web_settings_of

if TYPE_CHECKING:
    from modalnb.runtime.web import WebFunction

Raw = TypeVar("Raw", bound=Callable[..., Any])


def asgi_app(
    *misused: Any,
    label: str | None = None,
    requires_proxy_auth: bool = False,
    **ignored: Any,
) -> Callable[[Raw], Raw]:
    """Serve the ASGI app that the function returns; goes under ``@app.function``.

    The function is called once in each container, before its first request. Requests queue, start
    containers and are limited as inputs are; with ``@modal.concurrent`` a container answers
    several at once. :meth:`Function.get_web_url` tells where.

    Parameters
    ----------
    label : str, optional
        Stands for the function in its URL.
    requires_proxy_auth : bool, default False
        Whether requests need the headers ``Modal-Key`` and ``Modal-Secret`` of a key that
        ``modalnb token new`` has made.

    Raises
    ------
    InvalidError
        If a value is wrong, or the function is ``async``, a generator, or takes parameters.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App("shop")
    >>> @app.function()
    ... @modal.concurrent(max_inputs=20)
    ... @modal.asgi_app()
    ... def web_service():
    ...     from fastapi import FastAPI
    ...     return FastAPI()
    >>> web_service.get_web_url()  # doctest: +SKIP
    'http://127.0.0.1:38211/shop/web_service'
    """
    _check_call("asgi_app", misused, ignored)
    settings = WebSettings(kind="asgi_app", label=label, requires_proxy_auth=requires_proxy_auth)
    return _marker("asgi_app", settings, is_factory=True)


def wsgi_app(
    *misused: Any,
    label: str | None = None,
    requires_proxy_auth: bool = False,
    **ignored: Any,
) -> Callable[[Raw], Raw]:
    """Serve the WSGI app that the function returns, on threads; else as :func:`asgi_app`.

    Raises
    ------
    InvalidError
        As for :func:`asgi_app`.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App("shop")
    >>> @app.function()
    ... @modal.wsgi_app()
    ... def pages():
    ...     from flask import Flask
    ...     return Flask("pages")
    """
    _check_call("wsgi_app", misused, ignored)
    settings = WebSettings(kind="wsgi_app", label=label, requires_proxy_auth=requires_proxy_auth)
    return _marker("wsgi_app", settings, is_factory=True)


def fastapi_endpoint(
    *misused: Any,
    method: str = "GET",
    label: str | None = None,
    docs: bool = False,
    requires_proxy_auth: bool = False,
    **ignored: Any,
) -> Callable[[Raw], Raw]:
    """Make the function itself an HTTP endpoint, by FastAPI and its rules for parameters.

    Parameters
    ----------
    method : str, default "GET"
        The one method that it answers.
    label : str, optional
        Stands for the function in its URL.
    docs : bool, default False
        Whether ``/docs`` below its URL describes it.
    requires_proxy_auth : bool, default False
        As for :func:`asgi_app`.

    Raises
    ------
    InvalidError
        If a value is wrong, or the function is a generator.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App("shop")
    >>> @app.function()
    ... @modal.fastapi_endpoint(docs=True)
    ... def square(x: int):
    ...     return {"square": x * x}
    >>> square.local(3)
    {'square': 9}
    """
    _check_call("fastapi_endpoint", misused, ignored)
    settings = WebSettings(
        kind="fastapi_endpoint",
        method=method,
        label=label,
        docs=docs,
        requires_proxy_auth=requires_proxy_auth,
    )
    return _marker("fastapi_endpoint", settings, is_factory=False)


def web_server(
    port: int,
    *misused: Any,
    startup_timeout: float = 5.0,
    label: str | None = None,
    requires_proxy_auth: bool = False,
    **ignored: Any,
) -> Callable[[Raw], Raw]:
    """Serve whatever listens on a port once the function has run.

    All containers of a machine share its ports. Where `port` is taken the environment variable
    ``PORT`` names another one, so a program that listens on ``os.environ["PORT"]`` can have many
    containers; for others set ``max_containers=1``.

    Parameters
    ----------
    port : int
        Where the program listens, 1 to 65,535.
    startup_timeout : float, default 5
        Seconds until it must.
    label, requires_proxy_auth : optional
        As for :func:`asgi_app`.

    Raises
    ------
    InvalidError
        If a value is wrong, or the function takes parameters.

    Examples
    --------
    >>> import modalnb as modal
    >>> app = modal.App("shop")
    >>> @app.function(max_containers=1)
    ... @modal.web_server(8000)
    ... def files():
    ...     import subprocess
    ...     subprocess.Popen(["python", "-m", "http.server", "8000"])
    """
    if callable(port):
        misused = (port,)
    _check_call("web_server", misused, ignored, "8000")
    settings = WebSettings(
        kind="web_server",
        port=port,
        startup_timeout=startup_timeout,
        label=label,
        requires_proxy_auth=requires_proxy_auth,
    )
    return _marker("web_server", settings, is_factory=False)


# -- checks --------------------------------------------------------------------------------


def _check_call(name: str, misused: tuple[Any, ...], ignored: Any, example: str = "") -> None:
    if misused:
        raise InvalidError(f"Write `@modal.{name}({example})` with parentheses and keywords.")
    unknown = ignored.keys() - {"custom_domains"}
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {min(unknown)!r}")
    if ignored.get("custom_domains"):
        raise InvalidError(
            f"`custom_domains` of `@modal.{name}` cannot work here. Set `modal.config.web_domain`."
        )


def _marker(name: str, settings: WebSettings, *, is_factory: bool) -> Callable[[Raw], Raw]:
    def mark(raw: Raw) -> Raw:
        _check_raw(name, raw)
        if is_factory and inspect.iscoroutinefunction(raw):
            raise InvalidError(
                f"`{raw.__name__}` makes an app, so it cannot be `async`. Let it be a plain "
                "function; what the app itself does may be async."
            )
        if settings.kind != "fastapi_endpoint" and (named := _parameters(raw)):
            raise InvalidError(
                f"`{raw.__name__}` with `@modal.{name}` cannot take parameters; it has "
                f"{', '.join(named)}. Requests reach the app, not the function."
            )
        if settings.kind == "fastapi_endpoint":
            _resolve_annotations(raw)
        setattr(raw, ATTRIBUTE, settings)
        return raw

    return mark


def _check_raw(name: str, raw: Any) -> None:
    if getattr(type(raw), "__modalnb_fixed__", False):
        raise InvalidError(
            f"`@modal.{name}` must stand under `@app.function`. Swap the order of the decorators."
        )
    if not inspect.isfunction(raw):
        raise InvalidError(f"`@modal.{name}` must be put on a function; got {raw!r}.")
    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise InvalidError(
            f"`@modal.{name}` cannot be put on the generator `{raw.__name__}`. To stream, return "
            "a streaming response."
        )
    if web_settings_of(raw) is not None:
        raise InvalidError(f"`{raw.__name__}` has two web decorators. Remove one of them.")


def _parameters(raw: Callable[..., Any]) -> list[str]:
    named = list(inspect.signature(raw).parameters)
    return named[1:] if named[:1] == ["self"] else named


def _resolve_annotations(raw: Any) -> None:
    """Turn annotations that are text into types, since text loses its meaning on the way."""
    try:
        raw.__annotations__ = inspect.get_annotations(raw, eval_str=True)
    except Exception:
        # What is not defined yet cannot be resolved; FastAPI will say so if it needs it.
        return


# -- for the decorators of apps ------------------------------------------------------------


def web_facts(raw: Any, retries: Any = None) -> WebSettings | None:
    """What a web decorator says of a function; None if there is none.

    Raises
    ------
    InvalidError
        If it cannot be together with what else is said of the function.
    """
    settings = web_settings_of(raw)
    if settings is None:
        return None
    if batching_of(raw) is not None:
        raise InvalidError(
            f"`@modal.batched` on `{raw.__name__}` cannot be combined with a web decorator. Let "
            "the web function call a batched one."
        )
    if retries is not None:
        raise InvalidError(
            f"`retries` cannot be set on the web function `{raw.__name__}`; whoever sends a "
            "request can send it again. Leave it out."
        )
    return settings


def carrier_of(raw: Any, settings: WebSettings | None) -> WebFunction | None:
    """What is pickled in the place of a web function."""
    if settings is None:
        return None
    from modalnb.runtime.web import WebFunction

    return WebFunction(raw, settings)


def class_carrier(kind: type, interface: Interface, **hooks: Any) -> Service:
    """What is pickled in the place of a class."""
    endpoints = {facts.name: facts.web for facts in interface.methods if facts.web is not None}
    if not endpoints:
        return Service(kind, **hooks)
    from modalnb.runtime.web import WebClass

    return WebClass(kind, endpoints=endpoints, **hooks)
