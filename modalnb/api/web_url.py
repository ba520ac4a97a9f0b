"""Where web functions answer: their URLs, and the gateway that is started for the first one."""

from __future__ import annotations

import html
import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from modalnb.api import current
from modalnb.api.waiting import ask
from modalnb.exception import Error, ExecutionError, InvalidError
from modalnb.runtime import context
from modalnb.variants import PLAIN

if TYPE_CHECKING:
    from modalnb.api.app import App
    from modalnb.api.function import Function
    from modalnb.plane.stub import Stub

_lock = threading.Lock()


class WebUrl(str):
    """A URL that shows as a link in a notebook, also where that is not on this machine."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f'<a href="{html.escape(self.link)}" target="_blank">{html.escape(self)}</a>'

    @property
    def link(self) -> str:
        """Where a browser finds it: by way of jupyter-server-proxy under a JupyterHub."""
        prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
        if not prefix:
            return f"{self.rstrip('/')}/"
        parts = urlsplit(self)
        return f"{prefix.rstrip('/')}/proxy/{parts.port}{parts.path}/"


def url_of(function: Function) -> WebUrl | None:
    """Where a function answers; None if it is no web function, or a variant with options."""
    stub = current.stub()
    pool_id = function._pool_id(stub)
    if not _is_web(function) or function._variant.options:
        return None
    url = _ask_url(stub, pool_id, function._method)
    if function._variant.parameters:
        return WebUrl(f"{url}?{urlencode(function._variant.parameters)}")
    return url


def _ask_url(stub: Stub, pool_id: str, method: str) -> WebUrl:
    answer = ask(stub, "web_url", pool_id=pool_id, method=method)
    home = answer["home"] or _started(stub)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(home["host"], home["host"])
    return WebUrl(f"http://{host}:{home['port']}{answer['path']}")


def _is_web(function: Function) -> bool:
    interface = function._base.interface
    facts = interface.method(function._method) if interface is not None else None
    return facts is not None and facts.web is not None


def refuse_call(function: Function) -> None:
    """Refuse inputs of a web function that are no requests.

    Raises
    ------
    InvalidError
        If it is a web function; the text names its URL.
    """
    if not _is_web(function):
        return
    try:
        where = f" at {url_of(function)}"
    except Error:
        where = ""
    raise InvalidError(
        f"`{function._name}` is a web function, so it is called by HTTP{where}, not by a method. "
        "`.local(...)` runs it here."
    )


# -- the gateway ---------------------------------------------------------------------------


def open_gateway(stub: Stub) -> Any:
    """Start the gateway of this process's session unless it has one; None if it cannot have one."""
    session = current.session()
    if context.home() is not None or session is None or session.stub is not stub:
        return None
    with _lock:
        if session.gateway is None or not session.gateway.is_running:
            from modalnb.cluster.gateway import start_gateway

            session.gateway = start_gateway(session)
        return session.gateway


def _started(stub: Stub) -> dict[str, Any]:
    gateway = open_gateway(stub)
    if gateway is None:
        raise ExecutionError(
            "No web gateway is running. Ask for the URL where the app was declared, which starts "
            "one."
        )
    facts: dict[str, Any] = gateway.wait_open()
    return facts


def urls_of(app: App) -> list[tuple[str, WebUrl]]:
    """The web functions and methods of an app, and where they answer."""
    stub = current.stub()
    found = []
    for base in app._bases():
        pool_id = base.ready(stub, PLAIN)[0]
        for facts in base.interface.methods:
            if facts.web is not None:
                name = f"{base.name}.{facts.name}" if facts.name else base.name
                found.append((name, _ask_url(stub, pool_id, facts.name)))
    return found


def announce(app: App) -> None:
    """Show where the web functions of an app answer, to whoever watches."""
    if current.is_watched():
        for name, url in urls_of(app):
            _show(name, url)


def _show(name: str, url: WebUrl) -> None:
    if not current.is_notebook():
        print(f"modalnb: `{name}` answers at {url}")
        return
    from IPython.display import HTML, display

    display(HTML(f"<code>{html.escape(name)}</code> answers at {url._repr_html_()}"))
