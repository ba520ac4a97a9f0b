"""The bar of a long map: done of total, running, pending, containers."""

from __future__ import annotations

import concurrent.futures
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modalnb.api import viewing
from modalnb.configuration import config

if TYPE_CHECKING:
    from modalnb.api.function import Function

#: Maps that are over before show no bar.
PATIENCE_SECONDS = 1.0
STATS_SECONDS = 0.5


@contextmanager
def enable_output() -> Iterator[None]:
    """Let maps inside of this show how far they are, also where `config.progress` is off.

    What functions print needs no permission: it always appears where they were called from,
    which Modal does only inside of its own ``enable_output``.

    Examples
    --------
    >>> import modalnb as modal
    >>> with modal.enable_output():
    ...     pass  # with app.run(): ...
    """
    before, config.progress = config.progress, True
    try:
        yield
    finally:
        config.progress = before


def of_map(
    function: Function, total: int | None, wanted: bool | viewing.View | None
) -> viewing.View:
    """The view of a map: what the front end makes of it, else a bar."""
    if isinstance(wanted, viewing.View):
        return wanted
    bar = Progress(function, total, wanted)
    return (
        bar if viewing.make is None or wanted is False else viewing.make(function.name, total, bar)
    )


class Progress(viewing.View):
    """A tqdm bar that appears when a map takes long and a person can see it."""

    def __init__(self, function: Function, total: int | None, wanted: bool | None) -> None:
        self._function = function
        self._total = total
        self._is_wanted = _is_seen() if wanted is None else wanted
        self._patience = 0.0 if wanted else PATIENCE_SECONDS
        self._started = time.monotonic()
        self._bar: Any = None
        self._taken = 0
        self._stats: concurrent.futures.Future[Any] | None = None
        self._asked_at = 0.0
        self._limit = ""

    def opened(self, call_id: str, cancel: Callable[[], None]) -> None:
        """Only now does the time count: the start of an engine is no sign of a long map."""
        self._started = time.monotonic()

    def advance(self) -> None:
        """One more result was taken."""
        self._taken += 1

    def waits_for(self, limit: str, maximum: int) -> None:
        """Inputs wait because a limit is reached."""
        self._limit = f"waits for {limit} below {maximum:,}"

    def show(self, *, received: int, added: int, is_fed: bool) -> None:
        """Draw the bar if it is time."""
        if not self._is_wanted or time.monotonic() - self._started < self._patience:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, desc=self._function.name, unit="input", leave=True)
        if self._total is None or is_fed:
            self._bar.total = added
        self._bar.n = received
        self._ask()
        self._bar.refresh()

    def _ask(self) -> None:
        """Fetch the pool's numbers without waiting for them."""
        if self._stats is not None and self._stats.done():
            if self._stats.exception() is None:
                self._bar.set_postfix_str(self._words(self._stats.result()), refresh=False)
            self._stats = None
        now = time.monotonic()
        if self._stats is None and now - self._asked_at > STATS_SECONDS:
            from modalnb.api import current

            self._asked_at = now
            stub = current.stub()
            self._stats = stub.ask("pool", pool_id=self._function._pool_id(stub))

    def _words(self, pool: dict[str, Any]) -> str:
        containers = [c for c in pool["containers"] if c["state"] != "draining"]
        words = [
            f"{pool['running']} running",
            f"{pool['pending']} pending",
            f"{len(containers)} container{'s' * (len(containers) != 1)}",
        ]
        return ", ".join([*words, self._limit] if self._limit else words)

    def close(self, error: BaseException | None = None) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.n = self._taken
            # What was running and pending is no news any more.
            self._bar.set_postfix_str("", refresh=False)
            self._bar.refresh()
            self._bar.close()
            self._bar = None


def _is_seen() -> bool:
    """Whether a person looks at what this process shows."""
    if not config.progress or os.environ.get("MODALNB_NONINTERACTIVE", "0") != "0":
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
