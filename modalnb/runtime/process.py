"""The life of a container process: a Dask worker on a side thread, user code on the main one."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from typing import Any

from modalnb._dask_compat import ClosedWorker, use_lean_config
from modalnb.runtime import context, worker_plugin

EXIT_SECONDS = 2.0
#: Hand the interpreter over ten times as often as usual: messages must move beside user code.
SWITCH_SECONDS = 0.0005
START_SECONDS = 60.0
#: Written when not even a traceback can be made any more.
NO_MEMORY = b"MemoryError: the container has no memory left to go on\n"

_was_told_to_leave = threading.Event()


def run_container(order: dict[str, Any]) -> int:
    """Be one container until the plane or a signal ends it; returns the exit status.

    Parameters
    ----------
    order : dict
        ``scheduler`` address, ``name`` of the container, ``security``, ``folder`` for files.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    faulthandler.enable(file=2, all_threads=False)
    use_lean_config()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    os.environ.update(order.get("env", {}))
    worker_plugin.hosts_containers = True
    started: threading.Event = threading.Event()
    ended: threading.Event = threading.Event()
    side = threading.Thread(
        target=_run_worker, args=(order, started, ended), name="modalnb-worker", daemon=True
    )
    side.start()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not started.wait(START_SECONDS) or context.process_home is None:
        return 1
    context.process_home.container.run_forever()
    if not _was_told_to_leave.is_set():
        ended.wait(EXIT_SECONDS)
    return 0


def _leave(*_: Any) -> None:
    """Leave after the hooks for that have run; user code that is executing is interrupted."""
    _was_told_to_leave.set()
    if context.process_home is None:
        raise SystemExit(0)
    container = context.process_home.container
    container.close()
    if container.is_in_user_code:
        raise SystemExit(0)


def _run_worker(order: dict[str, Any], started: threading.Event, ended: threading.Event) -> None:
    try:
        asyncio.run(_serve(order, started))
    except MemoryError:
        os.write(2, NO_MEMORY)
        os._exit(1)
    except BaseException:
        faulthandler.disable()
        try:
            os.write(2, traceback.format_exc().encode())
        finally:
            # Whatever happens there, a container that hears nothing must not stay.
            os._exit(1)
    finally:
        ended.set()
    # User code that does not return must not keep an orphan alive.
    threading.Timer(EXIT_SECONDS, os._exit, (0,)).start()
    if context.process_home is not None:
        context.process_home.container.close()


async def _serve(order: dict[str, Any], started: threading.Event) -> None:
    worker = ClosedWorker(
        order["scheduler"],
        name=order["name"],
        nthreads=1,
        host=order.get("host", "127.0.0.1"),
        security=order["security"],
        local_directory=order["folder"],
        memory_limit=0,
        dashboard=False,
        death_timeout=30,
    )
    await worker
    started.set()
    await worker.finished()
