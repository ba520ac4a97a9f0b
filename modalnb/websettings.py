"""What a web decorator says of a function: frozen, validated, travelling with the function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modalnb.exception import InvalidError

WebKind = Literal["asgi_app", "wsgi_app", "fastapi_endpoint", "web_server"]

#: The attribute of a raw function that holds its :class:`WebSettings`.
ATTRIBUTE = "__modalnb_web__"

#: What an input of a web function names, as one of a class names its method.
SERVE = "serve"

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
MAX_PORT = 65_535
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """One web endpoint: what kind of app answers, and who may call it.

    Raises
    ------
    InvalidError
        If a value is of the wrong type or out of range.
    """

    kind: WebKind
    label: str | None = None
    requires_proxy_auth: bool = False
    method: str = "GET"
    docs: bool = False
    port: int = 0
    startup_timeout: float = 5.0

    def __post_init__(self) -> None:
        for name in ("requires_proxy_auth", "docs"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidError(f"`{name}` must be True or False; got {getattr(self, name)!r}.")
        if self.label is not None and not (
            isinstance(self.label, str) and _LABEL.match(self.label)
        ):
            raise InvalidError(
                "`label` must be 1 to 63 lower-case letters, digits and '-', since it becomes part "
                f"of a URL; got {self.label!r}."
            )
        if self.method not in METHODS:
            raise InvalidError(
                f"`method` must be one of {', '.join(METHODS)}; got {self.method!r}."
            )
        if self.kind == "web_server":
            self._check_server()

    def _check_server(self) -> None:
        if isinstance(self.port, bool) or not isinstance(self.port, int):
            raise InvalidError(f"`port` must be an int; got {self.port!r}.")
        if not 1 <= self.port <= MAX_PORT:
            raise InvalidError(f"`port` must be between 1 and {MAX_PORT}; got {self.port}.")
        timeout = self.startup_timeout
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise InvalidError(
                f"`startup_timeout` must be a number of seconds above 0; got {timeout!r}."
            )

    def to_dict(self) -> dict[str, Any]:
        """The same values as a plain dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WebSettings:
        """Rebuild settings from :meth:`to_dict`."""
        return cls(**values)


def web_settings_of(raw: Callable[..., Any] | None) -> WebSettings | None:
    """The settings that a web decorator has left on a function; None if there was none."""
    return getattr(raw, ATTRIBUTE, None)
