"""Requests of the web: what the way through the gateway costs beside plain uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from benchmarks import webapps, webclient
from benchmarks.processes import cpu_seconds, pss, tree
from benchmarks.table import Goal, Row, Table
from benchmarks.work import Measured, Results, Work

SERVERS = ("modalnb", "uvicorn")
APPS = tuple(webapps.MAKERS)
PEERS = tuple(f"{server}, {app}" for app in APPS for server in SERVERS)
CONNECTIONS = 32
PIECES = 4096
SOCKETS = 1_000
STREAMS = 50

#: (where it answers, the processes that serve it)
Served = tuple[str, list[psutil.Process]]


@contextlib.contextmanager
def _uvicorn(app: str) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    maker = webapps.MAKERS[app].__name__
    line = [sys.executable, "-m", "uvicorn", "--factory", f"benchmarks.webapps:{maker}"]
    line += ["--port", str(port), "--no-access-log", "--log-level", "error", "--http", "httptools"]
    process = subprocess.Popen(line)
    try:
        yield f"http://127.0.0.1:{port}/", [psutil.Process(process.pid)]
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _modalnb(app: str, *, is_warm: bool = True) -> Iterator[Served]:
    import modalnb as modal

    modal.config.web_rate = 0
    modal_app = modal.App("benchmark")
    maker = webapps.MAKERS[app]

    @modal_app.function(min_containers=int(is_warm), max_containers=1)
    @modal.concurrent(max_inputs=2 * SOCKETS)
    @modal.asgi_app()
    def web():
        return maker()

    with modal_app.run():
        url = web.get_web_url()
        yield f"{url}/", tree()[1:]


def _wait_up(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            webclient.load(url, 1, 0.0)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def measure(peer: str, quick: bool) -> Measured:
    """One client after itself, many at once, a long response, and idle WebSockets."""
    server, _, app = peer.partition(", ")
    seconds = 1.0 if quick else 3.0
    with (_modalnb if server == "modalnb" else _uvicorn)(app) as (url, processes):
        _wait_up(url)
        webclient.load(url, CONNECTIONS, 0.5)
        _, taken = webclient.load(url, 1, seconds)
        cuts = statistics.quantiles(taken, n=100)
        cpu = cpu_seconds(processes)
        rate, all_taken = webclient.load(url, CONNECTIONS, seconds)
        cpu = cpu_seconds(processes) - cpu
        measured = {
            "p50": cuts[49] * 1e3,
            "p99": cuts[98] * 1e3,
            "rate": rate,
            "cpu": cpu / len(all_taken) * 1e6,
        }
        if app == "bare ASGI":
            pieces = PIECES // 4 if quick else PIECES
            size, took = webclient.download(f"{url}?{pieces}")
            measured["stream"] = size / took / 2**20
            _, took = webclient.download(f"{url}?events", STREAMS)
            measured["events"] = STREAMS * webapps.EVENTS / took
            measured["socket"] = _memory_of_sockets(url, processes)
    if server == "modalnb":
        measured["first"] = _first(app)
    return measured


def _first(app: str) -> float:
    """Seconds of the first request to a function without containers, the gateway being up."""
    with _modalnb(app, is_warm=False) as (url, _):
        started = time.perf_counter()
        webclient.load(url, 1, 0.0)
        return time.perf_counter() - started


def _memory_of_sockets(url: str, processes: list[psutil.Process]) -> float:
    """Kibibytes of the server for each of many idle WebSockets."""

    async def run() -> float:
        from websockets.asyncio.client import connect

        before = pss(processes)
        address = url.replace("http", "ws", 1)
        opened = [await connect(address, proxy=None, compression=None) for _ in range(SOCKETS)]
        after = pss(processes)
        for one in opened:
            one.transport.abort()
        return (after - before) / SOCKETS / 1024

    return asyncio.run(run())


def _rows(results: Results, app: str, metric: str, note: str) -> list[Row]:
    peers = [f"{server}, {app}" for server in SERVERS]
    return results.rows(peers, metric, note)


def tables(results: Results) -> list[Table]:
    """Latency, rate, streams and memory."""
    made = []
    for app in APPS:
        ours, peer = f"modalnb, {app}", f"uvicorn, {app}"
        rows = _rows(results, app, "p50", "p99 {p99:.2f} ms")
        plain = results.get(peer, "p50")
        goals = []
        if plain:
            # The aim is 2 ms more than uvicorn takes.
            goals.append(Goal("aim", (plain + 2.0) / plain, peer))
        made.append(
            Table(f"one request after the other, {app}, p50", "ms", "lower", rows, goals, ours)
        )
        rows = _rows(results, app, "rate", "CPU {cpu:.0f} µs a request")
        goals = [Goal("aim", 0.5, peer)]
        title = f"{CONNECTIONS} connections, {app}"
        made.append(Table(title, "requests/s", "higher", rows, goals, ours))
    ours, peer = "modalnb, bare ASGI", "uvicorn, bare ASGI"
    rows = _rows(results, "bare ASGI", "stream", "")
    made.append(Table("one long response", "MiB/s", "higher", rows, [Goal("aim", 0.8, peer)], ours))
    ideal = STREAMS / webapps.EVENT_SECONDS
    rows = [
        *_rows(results, "bare ASGI", "events", ""),
        Row("as they are made", ideal, "of the clock"),
    ]
    title = f"{STREAMS} streams with an event each {1000 * webapps.EVENT_SECONDS:g} ms"
    made.append(Table(title, "events/s", "higher", rows, [Goal("aim", 0.8, peer)], ours))
    rows = _rows(results, "bare ASGI", "socket", "")
    made.append(Table(f"{SOCKETS:,} idle WebSockets", "KiB each", "lower", rows, [], ours))
    rows = results.rows([f"modalnb, {app}" for app in APPS], "first")
    made.append(Table("first request to no containers", "s", "lower", rows, [], ours))
    return made


WORK = Work("web", PEERS, measure, tables)
