"""An app that runs for the length of a ``with`` block."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from modalnb.api import current, web_url
from modalnb.exception import InvalidError

if TYPE_CHECKING:
    from modalnb.api.app import App


class RunningApp:
    """An app for the length of a block; closes what it opened."""

    def __init__(self, app: App, *, detach: bool) -> None:
        self._app = app
        self._detach = detach
        self._opened_session = False

    def __enter__(self) -> App:
        app = self._app
        if app._is_in_run:
            raise InvalidError("The app is running already; `run` cannot be nested.")
        session = current.session()
        self._opened_session = session is None or not session.is_open
        stub = current.stub(quiet=True)
        app._is_in_run = True
        app._registration.ready_all(stub)
        web_url.announce(app)
        return app

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        app = self._app
        app._is_in_run = False
        if not self._detach:
            app._stop()
            if self._opened_session:
                current.close()
        # As in Modal, Ctrl-C inside the block ends it without a traceback.
        return kind is not None and issubclass(kind, KeyboardInterrupt)

    async def __aenter__(self) -> App:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *exc: Any) -> bool:
        return await asyncio.to_thread(self.__exit__, *exc)
