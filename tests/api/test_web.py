"""Web decorators: what they refuse, and what is known without any container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import modalnb as modal
from modalnb.exception import InvalidError
from modalnb.websettings import WebSettings, web_settings_of

DECORATORS: list[Callable[[], Any]] = [
    modal.asgi_app,
    modal.wsgi_app,
    modal.fastapi_endpoint,
    lambda: modal.web_server(8000),
]
FACTORIES = [modal.asgi_app, modal.wsgi_app]


def plain() -> None:
    return None


def test_settings_are_noted_on_the_function() -> None:
    def endpoint() -> None: ...

    modal.fastapi_endpoint(method="POST", docs=True, label="x-1")(endpoint)
    assert web_settings_of(endpoint) == WebSettings(
        kind="fastapi_endpoint", method="POST", docs=True, label="x-1"
    )
    assert web_settings_of(plain) is None
    settings = web_settings_of(endpoint)
    assert settings is not None
    assert WebSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize("decorator", DECORATORS)
def test_generator_is_refused(decorator: Callable[[], Any]) -> None:
    def generate() -> Any:
        yield 1

    async def generate_async() -> Any:
        yield 1

    for raw in (generate, generate_async):
        with pytest.raises(InvalidError, match=f"generator `{raw.__name__}`"):
            decorator()(raw)


@pytest.mark.parametrize("decorator", [*FACTORIES, lambda: modal.web_server(8000)])
def test_parameters_are_refused(decorator: Callable[[], Any]) -> None:
    def factory(size: int) -> None: ...

    with pytest.raises(InvalidError, match="cannot take parameters; it has size"):
        decorator()(factory)


@pytest.mark.parametrize("decorator", FACTORIES)
def test_async_factory_is_refused(decorator: Callable[[], Any]) -> None:
    async def factory() -> None: ...

    with pytest.raises(InvalidError, match="cannot be `async`"):
        decorator()(factory)


def test_retries_are_refused() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match="`retries` cannot be set on the web function"):

        @app.function(retries=3)
        @modal.fastapi_endpoint()
        def endpoint() -> None: ...


def test_batching_is_refused() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match="cannot be combined with a web decorator"):

        @app.function()
        @modal.batched(max_batch_size=2, wait_ms=1)
        @modal.fastapi_endpoint()
        def endpoint(xs: list[int]) -> list[int]:
            return xs


def test_two_web_decorators_are_refused() -> None:
    with pytest.raises(InvalidError, match="two web decorators"):

        @modal.asgi_app()
        @modal.wsgi_app()
        def factory() -> None: ...


def test_wrong_order_is_refused() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match="Swap the order"):

        @modal.asgi_app()
        @app.function()
        def factory() -> None: ...


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda: modal.asgi_app(plain), "`@modal.asgi_app\\(\\)` with parentheses"),
        (lambda: modal.web_server(plain), "`@modal.web_server\\(8000\\)` with parentheses"),  # type: ignore[arg-type]
        (lambda: modal.asgi_app()(3), "must be put on a function; got 3"),  # type: ignore[type-var]
        (lambda: modal.web_server(0), "between 1 and 65535; got 0"),
        (lambda: modal.web_server(65536), "between 1 and 65535; got 65536"),
        (lambda: modal.web_server(True), "`port` must be an int; got True"),
        (lambda: modal.web_server("80"), "`port` must be an int; got '80'"),  # type: ignore[arg-type]
        (lambda: modal.web_server(80, startup_timeout=0), "above 0; got 0"),
        (lambda: modal.web_server(80, startup_timeout=True), "above 0; got True"),
        (lambda: modal.fastapi_endpoint(method="get"), "must be one of GET, .*; got 'get'"),
        (lambda: modal.fastapi_endpoint(docs=1), "`docs` must be True or False; got 1"),  # type: ignore[arg-type]
        (lambda: modal.asgi_app(requires_proxy_auth="x"), "must be True or False; got 'x'"),  # type: ignore[arg-type]
        (lambda: modal.asgi_app(label="No/Good"), "`label` must be .*; got 'No/Good'"),
        (lambda: modal.asgi_app(custom_domains=["x.test"]), "`modal.config.web_domain`"),
    ],
)
def test_wrong_values_are_refused(use: Callable[[], Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        use()


def test_unknown_parameter_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        modal.asgi_app(nothing=1)


def test_method_for_calls_cannot_be_a_web_method() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match="both called and reached by HTTP"):

        @app.cls()
        class Model:
            @modal.method()
            @modal.fastapi_endpoint()
            def both(self) -> None: ...


def test_hook_cannot_be_a_web_method() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match="a hook of its container"):

        @app.cls()
        class Model:
            @modal.enter()
            @modal.fastapi_endpoint()
            def both(self) -> None: ...


def test_order_of_concurrent_is_free() -> None:
    app = modal.App()

    @app.function()
    @modal.asgi_app()
    @modal.concurrent(max_inputs=7)
    def one() -> None: ...

    @app.function()
    @modal.concurrent(max_inputs=7)
    @modal.asgi_app()
    def other() -> None: ...

    for function in (one, other):
        settings = function._base.settings
        assert settings is not None
        assert settings.max_inputs == 7
        interface = function._base.interface
        assert interface is not None
        assert interface.has_web
