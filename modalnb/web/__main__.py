"""The gateway process: ``python -m modalnb.web``.

It reads one JSON line of options from its standard input, writes JSON lines to its standard
output, first where it listens and then what containers print for it, and ends when its standard
input is closed or the plane is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from distributed import Security
from distributed.comm import get_address_host

from modalnb.tunnel import allow_connections, new_loop
from modalnb.web.gateway import Gateway
from modalnb.web.keys import KeyRing
from modalnb.web.lounge import Lounge
from modalnb.web.plane_line import PlaneLine
from modalnb.web.rate import Rate
from modalnb.web.results import Results
from modalnb.web.routes import Routes
from modalnb.web.server import Server, bind

CLOSE_SECONDS = 5.0


def _say(facts: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def _print(lines: list[tuple[str, str, str]]) -> None:
    """Let the parent show what containers have printed."""
    _say({"printed": lines})


async def _main(options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    credentials = options.get("credentials")
    security = Security(require_encryption=True, **credentials) if credentials else None
    line = PlaneLine()
    stub = await line.connect(options["address"], security)
    stub.print_orphans = _print
    lounge = Lounge()
    await lounge.open(_address_towards(options["address"]), security)
    routes = Routes(lambda: asyncio.wrap_future(stub.ask("web")), options["domain"])
    gateway = Gateway(
        stub,
        routes,
        lounge,
        Rate(options["rate"]),
        KeyRing(),
        Results(options["redirect"]),
        _print,
    )
    bound = bind(options["host"], options["port"])
    server = Server(gateway)

    def stop() -> None:
        server.should_exit = True

    loop.add_reader(0, _on_input, stop)
    lost = asyncio.ensure_future(line.wait_lost())
    heads = asyncio.ensure_future(server.watch_heads())
    lost.add_done_callback(lambda _: stop())
    facts = {
        "host": options["host"],
        "port": bound.getsockname()[1],
        "domain": options["domain"],
        "pid": os.getpid(),
    }
    await asyncio.wrap_future(stub.ask("gateway", client=line.client.id, facts=facts))
    _say(facts)
    try:
        await server.serve(sockets=[bound])
    finally:
        lost.cancel()
        heads.cancel()
        lounge.close()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(line.close(), CLOSE_SECONDS)


def _address_towards(scheduler: str) -> str | None:
    """Our address as containers of that scheduler see it; None if they are all on this machine."""
    host = get_address_host(scheduler)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((host, 1))
        ours = str(s.getsockname()[0])
    return None if ipaddress.ip_address(ours).is_loopback else ours


def _on_input(stop: Callable[[], None]) -> None:
    """The parent keeps our standard input open and never writes: to read is to see its end."""
    if not os.read(0, 4096):
        stop()


def _read_options() -> dict[str, Any]:
    text = b""
    while not text.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        text += byte
    options: dict[str, Any] = json.loads(text)
    return options


def main() -> None:
    """Be a gateway until the parent or the plane is gone."""
    options = _read_options()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    allow_connections()
    # What is here stays, and what requests make is let go at once: most collections find nothing.
    gc.freeze()
    gc.set_threshold(10_000, 50, 50)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_main(options))
    except Exception as error:
        _say({"error": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
