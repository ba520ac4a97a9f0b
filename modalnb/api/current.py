"""The session that calls go through, and what running code may know of itself."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import Any

from modalnb.api.printing import Line, Sink
from modalnb.exception import InvalidError
from modalnb.plane.stub import Stub
from modalnb.runtime import context

_lock = threading.RLock()
_session: Any = None


def stub(*, quiet: bool = False) -> Stub:
    """The stub of this process; the first use starts an engine, and says so in one line."""
    home = context.home()
    if home is not None:
        return _stub_of(home)
    session = _session
    if session is not None and session.is_open:
        return session.stub  # type: ignore[no-any-return]
    with _lock:
        if _session is None or not _session.is_open:
            _start(quiet)
        return _session.stub  # type: ignore[no-any-return]


def _print_orphans(lines: list[Line]) -> None:
    """Show lines of calls that nobody waits for any more."""
    Sink("").put(lines)


def _stub_of(home: Any) -> Stub:
    """The stub of a container, made when its user code first makes a call."""
    with _lock:
        known: Stub | None = getattr(home, "stub", None)
        if known is None:
            known = home.stub = Stub(home.line, home.depot)
            known.print_orphans = _print_orphans
            home.on_reply = known.on_reply
        return known


def _start(quiet: bool) -> None:
    global _session
    from modalnb.cluster import session as sessions

    if _session is not None:
        _session.close()
    started = time.perf_counter()
    _session = sessions.start_embedded()
    _session.stub.print_orphans = _print_orphans
    if not quiet and is_watched():
        seconds = time.perf_counter() - started
        # A notebook shows stderr on red, and this is good news.
        stream = sys.stderr if sys.stderr.isatty() else sys.stdout
        print(f"modalnb: engine started in {seconds:.1f} s", file=stream)


def is_watched() -> bool:
    """Whether a person reads what this process prints."""
    if os.environ.get("MODALNB_NONINTERACTIVE", "0") != "0":
        return False
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or bool(ipython and ipython.get_ipython())


def is_notebook() -> bool:
    """Whether what this process shows can be HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def use(session: Any) -> None:
    """Let calls go through this session from now on; the one before is closed."""
    global _session
    with _lock:
        if _session is not None:
            _session.close()
        if session is not None:
            session.stub.print_orphans = _print_orphans
        _session = session


def session() -> Any:
    """The session of this process, or None."""
    return _session


def close() -> None:
    """Close the session; the next call starts another."""
    use(None)


atexit.register(close)


def is_local() -> bool:
    """Whether the running code is outside of a container.

    Examples
    --------
    >>> import modalnb
    >>> modalnb.is_local()
    True
    """
    return context.home() is None


def current_input_id() -> str | None:
    """The id of the input that the running code works on; None outside of a container."""
    current = context.current.get()
    return current.input_id if current else None


def current_function_call_id() -> str | None:
    """The id of the call that the running code works for; None outside of a container."""
    current = context.current.get()
    return current.call_id if current else None


def parent() -> tuple[str, int] | None:
    """The call and the index of the input that makes a call now."""
    current = context.current.get()
    return (current.call_id, current.index) if current else None


def connect(
    address: str | None = None,
    *,
    cluster: Any = None,
    security: Any = None,
    cores: float | None = None,
    max_containers: int | None = None,
) -> Any:
    """Let the calls of this process go to an engine or a Dask cluster that runs already.

    Parameters
    ----------
    address : str, optional
        Address of a Dask scheduler, such as ``"tls://10.0.0.5:8786"``. Its workers become
        containers while a pool leases them; they are never started nor ended.
    cluster : SpecCluster, optional
        A Dask cluster object: ``LocalCluster``, ``SSHCluster``, ``SLURMCluster`` … Containers are
        started as further workers of it, those of a job queue as jobs of one worker each, and
        ended with :meth:`Connection.close`; other workers of it are left alone.
    security : distributed.Security, optional
        Credentials for `address`.
    cores : float, optional
        Cores of `cluster` that all pools share. Unless given: those of this machine for a
        ``LocalCluster``, the threads of the workers that it has for an ``SSHCluster``, and no
        limit for a job queue, which can get ever more.
    max_containers : int, optional
        Containers that all pools together may have on `cluster`; 100 unless given.

    Without arguments, the engine is used that another process of this user started last.

    Returns
    -------
    Connection
        Its ``close()`` ends the use; it is a context manager too.

    Raises
    ------
    NotFoundError
        If no engine of this user runs.
    ConnectionError
        If the scheduler cannot be reached or has no modalnb.
    InvalidError
        If both an address and a cluster are given.

    Examples
    --------
    >>> import modalnb
    >>> with modalnb.connect():  # doctest: +SKIP
    ...     modalnb.Function.from_name("my-app", "process").remote(1)
    """
    from modalnb.cluster import attach

    if context.home() is not None:
        raise InvalidError("`connect` is for notebooks and scripts; a container is connected.")
    if address is not None and cluster is not None:
        raise InvalidError("Give `connect` either an address or a `cluster`, not both.")
    if cluster is not None:
        opened = attach.attach_cluster(cluster, cores, max_containers)
    elif address is not None:
        if not isinstance(address, str):
            raise InvalidError(f"`address` must be a str; got {address!r}.")
        opened = attach.attach_address(address, security)
    else:
        opened = attach.attach()
    use(opened)
    return Connection(opened)


class Connection:
    """A connection made by :func:`connect`."""

    def __init__(self, opened: Any) -> None:
        self._session = opened

    def close(self) -> None:
        """Let calls no longer go there; containers that this connection started end."""
        if _session is self._session:
            use(None)
        else:
            self._session.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self._session.is_open else "closed"
        return f"<Connection {self._session.kind} {self._session.address}: {state}>"
