"""A notebook kernel with a page of its own making, which speaks for the kernel's widgets."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

import psutil
from jupyter_client.manager import KernelManager

SECONDS = 120.0


class Kernel:
    """A kernel that runs cells; what it sends to pages is taken in by :meth:`listen`."""

    def __init__(self) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)
        self.process = psutil.Process(self._manager.provisioner.pid)
        #: Widgets that were opened: model name and comm id, in the order of opening.
        self.widgets: list[tuple[str, str]] = []
        self._subshell = self._open_subshell()

    def _open_subshell(self) -> str:
        message = self._client.session.msg("create_subshell_request", {})
        self._client.control_channel.send(message)
        return self._client.control_channel.get_msg(timeout=SECONDS)["content"]["subshell_id"]

    def begin(self, code: str) -> None:
        """Begin to run a cell."""
        self._client.execute(code)

    def run(self, code: str) -> None:
        """Run a cell, which must not fail."""
        cell = self._client.execute(code)
        while True:
            reply = self._client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == cell:
                if reply["content"]["status"] != "ok":
                    raise RuntimeError("\n".join(reply["content"]["traceback"]))
                return

    def listen(
        self, seconds: float, is_enough: Callable[[dict[str, Any]], bool] = lambda data: False
    ) -> int:
        """Take in what comes for pages; returns how many messages of widgets there were."""
        end, count = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            try:
                message = self._client.get_iopub_msg(timeout=left)
            except queue.Empty:
                break
            content = message["content"]
            if message["msg_type"] == "comm_open":
                name = content["data"]["state"]["_model_name"]
                self.widgets.append((name, content["comm_id"]))
            elif message["msg_type"] == "comm_msg":
                count += 1
                if is_enough(content["data"]):
                    break
        return count

    def send(self, model: str, number: int, data: dict[str, Any]) -> None:
        """Send for the `number`-th widget of a model, beside the cells, as JupyterLab does."""
        comm_id = [key for name, key in self.widgets if name == model][number]
        message = self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        message["header"]["subshell_id"] = self._subshell
        self._client.shell_channel.send(message)

    def close(self) -> None:
        """End the kernel and what it has started."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
