"""The gateway process of a session: started when the session has its first web function."""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from modalnb.cluster.credentials import credentials_of
from modalnb.configuration import config
from modalnb.exception import ConnectionError, ExecutionError

CLOSE_SECONDS = 10.0
_NEEDED = ("httptools", "uvicorn", "websockets")

#: (container id, stream, text) tuples.
Lines = list[tuple[str, str, str]]


class GatewayProcess:
    """A gateway that ends with this process, or when it is closed."""

    def __init__(self, options: dict[str, Any], print_lines: Callable[[Lines], None]) -> None:
        self._print_lines = print_lines
        self._error = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "modalnb.web"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(options).encode() + b"\n")
            self._process.stdin.flush()
        self._facts: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._reader = threading.Thread(target=self._read, name="modalnb-gateway", daemon=True)
        self._reader.start()

    def wait_open(self) -> dict[str, Any]:
        """Where it listens, once it does.

        Raises
        ------
        ConnectionError
            If it does not start.
        """
        try:
            return self._facts.result(config.start_timeout)
        except TimeoutError:
            self._process.kill()
            why = f"it said nothing for {config.start_timeout:g} s."
        except concurrent.futures.CancelledError:
            why = self._last_words()
        raise ConnectionError(f"The web gateway did not start: {why}")

    def _last_words(self) -> str:
        status = self._process.wait()
        return self._error or f"its process ended with exit status {status}."

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            for line in out:
                said = json.loads(line)
                if "port" in said:
                    self._facts.set_result(said)
                elif "error" in said:
                    self._error = said["error"]
                else:
                    self._print_lines([(name, kind, text) for name, kind, text in said["printed"]])
        self._facts.cancel()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it; requests under way have a few seconds."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(CLOSE_SECONDS)


def start_gateway(session: Any) -> GatewayProcess:
    """Start the gateway of a session, to be closed with it.

    Raises
    ------
    ExecutionError
        If a package is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExecutionError(
            f"Web functions need {', '.join(missing)}. Run `pip install 'modalnb[web]'`."
        )
    gateway = GatewayProcess(options_of(session), lambda lines: session.stub.print_orphans(lines))
    session.on_close(gateway.close)
    return gateway


def options_of(session: Any) -> dict[str, Any]:
    """What a gateway of a session is told."""
    security = session.security
    return {
        "address": session.address,
        "credentials": credentials_of(security) if _is_set(security) else None,
        "host": config.web_host,
        "port": config.web_port,
        "domain": config.web_domain,
        "rate": config.web_rate,
        "redirect": config.web_redirect,
    }


def _is_set(security: Any) -> bool:
    return security is not None and bool(security.tls_ca_file)


def _python_path() -> str:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.pathsep.join([root, *(entry for entry in sys.path if entry)])
