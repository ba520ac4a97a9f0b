"""Forks containers from a process that has imported all they need: 50 ms instead of half a second.

The engine forks its zygote before it has any thread or event loop and talks to it over a socket
pair.  A request carries the write end of a pipe, which becomes the child's stdout and stderr.
When the engine dies, however it dies, the zygote ends every child and itself.

A container may start processes of its own.  They end with it: each container leads a process
group, which is killed as one, so that even a fork bomb ends with the timeout of its input; and on
Linux processes that left the group, or whose parent has died, come back to their container and
after its end to the zygote, which ends them.

Messages are JSON lines: ``{"fork": id, ...}`` and ``{"kill": pid}`` one way, ``{"forked": id,
"pid": pid}``, ``{"failed": id, "why": text}`` and ``{"ended": pid, "status": status}`` the other.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from modalnb.runtime.offspring import children
from modalnb.runtime.process import NO_MEMORY

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: Where memory runs out for all, containers go before the engine and the caller.
_OOM_SCORE = 500
_CHUNK = 1 << 16
_MAX_FDS = 64

Order = dict[str, Any]


def encode(message: Order) -> bytes:
    """A message as one line."""
    return json.dumps(message).encode() + b"\n"


class Lines:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[Order]:
        """The messages that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


def fork_zygote(target: Callable[[Order], int]) -> socket.socket:
    """Fork this process into engine and zygote; returns the engine's end, in the engine only.

    Parameters
    ----------
    target : callable
        Runs in each child with its order; what it returns is the exit status.
    """
    engine_end, zygote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    # What is here now stays: collections that walk over it would copy its pages in each process.
    gc.freeze()
    if os.fork():
        zygote_end.close()
        return engine_end
    engine_end.close()
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    os.dup2(2, 1)
    _Zygote(zygote_end, target).run()


class _Zygote:
    """The loop of the zygote; single-threaded, so that a fork copies a consistent process."""

    def __init__(self, line: socket.socket, target: Callable[[Order], int]) -> None:
        self._line = line
        self._target = target
        self._children: set[int] = set()
        self._lines = Lines()
        #: Descriptors that came with orders, in the same order; each fork takes one.
        self._outputs: deque[int] = deque()

    def run(self) -> NoReturn:
        """Serve until the engine is gone; never returns."""
        _die_with_parent(signal.SIGKILL if sys.platform != "linux" else signal.SIGTERM)
        _adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        wake_read, wake_write = socket.socketpair()
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is wake_read:
                        wake_read.recv(4096)
                        self._reap()
                    else:
                        self._serve()

    def _serve(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._line, _CHUNK, _MAX_FDS)
        except OSError:
            data, fds = b"", []
        if not data:
            self._end()
        self._outputs.extend(fds)
        for order in self._lines.add(data):
            self._obey(order)

    def _obey(self, order: Order) -> None:
        if "kill" in order:
            if order["kill"] in self._children:
                _signal(order["kill"], order["signal"])
            return
        output = self._outputs.popleft()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(output)
            self._tell({"failed": order["fork"], "why": str(error)})
            return
        if pid == 0:
            self._become_child(order, output)
        os.close(output)
        # The child does so too: whoever comes first, nobody can miss the group.
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._children.add(pid)
        self._tell({"forked": order["fork"], "pid": pid})

    def _become_child(self, order: Order, output: int) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._line.close()
            for other in self._outputs:
                os.close(other)
            os.setpgid(0, 0)
            _die_with_parent(signal.SIGKILL)
            _adopt_orphans()
            _yield_memory()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            status = self._target(order)
        except SystemExit as leave:
            status = leave.code if isinstance(leave.code, int) else 0
        except MemoryError:
            os.write(2, NO_MEMORY)
            os._exit(status)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            try:
                _run_exit_handlers()
            finally:
                # Whatever happens there, nothing may get back into the zygote's own code.
                os._exit(status)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in self._children:
                    self._children.discard(pid)
                    _signal(pid, signal.SIGKILL)
                    self._tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})
        self._end_orphans()

    def _end_orphans(self) -> None:
        """End what containers have left behind; its children come here in turn."""
        for pid in children() - self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _tell(self, message: Order) -> None:
        with suppress(OSError):
            self._line.sendall(encode(message))

    def _end(self) -> NoReturn:
        for pid in self._children:
            _signal(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
                self._end_orphans()
        os._exit(0)


def _signal(pid: int, number: int) -> None:
    """Signal a container; to kill one is to kill its whole group, and it may be gone itself."""
    with suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _run_exit_handlers() -> None:
    """What an interpreter does at its end, without the threads that belong to the zygote."""
    import atexit

    atexit._run_exitfuncs()


def _die_with_parent(signum: int) -> None:
    """Ask Linux for a signal when the parent dies; elsewhere the closed socket must do."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signum)
        if os.getppid() == 1:
            os._exit(0)


def _adopt_orphans() -> None:
    """Be the parent of all descendants whose parents die, instead of process 1."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _yield_memory() -> None:
    """Let Linux end this process, not the engine or the caller, if there is no memory left."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(_OOM_SCORE))
