"""A Jupyter server of the tests' own, and notebooks that are open in a real browser."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import nbformat

import modalnb

ROOT = Path(modalnb.__file__).parents[1]
App = Literal["lab", "notebook"]

START_SECONDS = 60.0
#: What the front ends log by themselves: Notebook 7 on every page, both when a kernel ends.
KNOWN_ERRORS = (
    "reading 'schema'",
    "Command 'filebrowser:open-path' not registered",
    "Canceled future for debug_request",
)

#: The notebook that the page shows, as the front end's own objects.
PANEL = "window.jupyterapp.shell.currentWidget"


class Server:
    """A Jupyter server on loopback for JupyterLab and Notebook 7, with folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.token = secrets.token_hex(24)
        self.port = _free_port()
        self.log = folder / "server.log"
        self._process = self._start(folder)

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        quiet = {"checkForUpdates": False, "fetchNews": "false", "doNotDisturbMode": True}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        env = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_TOKEN": self.token}
        for name in ("CONFIG_DIR", "RUNTIME_DIR", "DATA_DIR"):
            env[f"JUPYTER_{name}"] = str(folder / name.lower())
        env["IPYTHONDIR"] = str(folder / "ipython")
        env["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
        env["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
        command = [
            *(sys.executable, "-m", "jupyter", "lab", "--no-browser"),
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={self.root}",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]
        if os.geteuid() == 0:
            command.append("--allow-root")
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command, cwd=self.root, env=env, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def origin(self) -> str:
        """Where its pages come from."""
        return f"http://127.0.0.1:{self.port}"

    def is_up(self) -> bool:
        """Whether it answers."""
        assert self._process.poll() is None, self.log.read_text()
        with suppress(OSError):
            self._ask("/api/status")
            return True
        return False

    def _ask(self, path: str, method: str = "GET") -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.origin + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bytes(answer.read())

    def end_kernel(self, kernel_id: str) -> None:
        """End a kernel that no page of ours does."""
        self._ask(f"/api/kernels/{kernel_id}", "DELETE")

    def kernels(self) -> set[str]:
        """The kernels that run."""
        return {kernel["id"] for kernel in json.loads(self._ask("/api/kernels"))}

    def close(self) -> None:
        """Ask it to end with its kernels; signal it if it does not."""
        with suppress(OSError):
            self._ask("/api/shutdown", "POST")
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
                return

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Save a notebook of these code cells; returns its path below the root."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.root / name)
        return name

    def url(self, name: str, app: App) -> str:
        """The address of a notebook's page, in a workspace where no other one is open."""
        workspace = Path(name).stem
        folder = f"lab/workspaces/{workspace}/tree" if app == "lab" else "notebooks"
        return f"{self.origin}/{folder}/{name}?token={self.token}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class NotebookPage:
    """One notebook, open in a browser: run its cells, look at what they show.

    Every request that leaves loopback and every error of the page is remembered; the fixture
    that opened the page asserts that there were none.
    """

    def __init__(self, page: Any, server: Server, name: str, app: App) -> None:
        self.page = page
        self.name = name
        self.app = app
        self._server = server
        self._url = server.url(name, app)
        self.outside: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._on_request)
        page.on("console", lambda line: self._on_error(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self._on_error(str(error)))
        page.goto(self._url)
        self.wait_ready()

    def _on_request(self, request: Any) -> None:
        # Web functions answer on ports of their own, on this machine too.
        own = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
        if not request.url.startswith(own):
            self.outside.append(request.url)

    def _on_error(self, text: str) -> None:
        if not any(known in text for known in KNOWN_ERRORS):
            self.errors.append(text[:500])

    def wait_ready(self) -> None:
        """Wait for the kernel: to run cells earlier opens a dialog that asks for one."""
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.page.wait_for_function(f"() => !!{PANEL}?.sessionContext")
        self.page.evaluate(
            f"async () => {{ const c = {PANEL}.sessionContext;"
            " await c.ready; await c.session?.kernel?.info; }"
        )
        self.page.wait_for_function(
            f"() => {PANEL}.sessionContext.session?.kernel?.status === 'idle'"
        )

    def run(self, index: int, *, wait: bool = True) -> None:
        """Run one cell, and wait until it has ended."""
        self.page.evaluate(
            f"(i) => {{ {PANEL}.content.activeCellIndex = i;"
            " window.jupyterapp.commands.execute('notebook:run-cell'); }",
            index,
        )
        if wait:
            self.wait_done(index)

    def wait_done(self, index: int) -> None:
        """Wait until a cell has run; asks the model, since the page holds only what is in view."""
        self.page.wait_for_function(
            f"(i) => {{ const m = {PANEL}.content.widgets[i].model;"
            " return m.executionCount !== null && m.executionState !== 'running'; }",
            arg=index,
        )

    def output(self, index: int) -> Any:
        """The locator of what a cell shows."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-OutputArea")

    def restart_kernel(self) -> None:
        """Restart the kernel, as the button does after its question."""
        self.page.evaluate(f"() => {PANEL}.sessionContext.session.kernel.restart()")
        self.wait_ready()

    def save(self) -> dict[str, Any]:
        """Save the notebook; returns what is in the file."""
        self.page.evaluate(f"() => {PANEL}.context.save()")
        saved: dict[str, Any] = json.loads((self._server.root / self.name).read_text())
        return saved

    def reload(self) -> None:
        """Load the page again, as F5 does."""
        self.page.reload()
        self.wait_ready()

    def set_theme(self, name: str) -> None:
        """Choose a theme, such as ``JupyterLab Dark``."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        light = str("Light" in name).lower()
        self.page.locator(f"body[data-jp-theme-light='{light}']").wait_for(state="attached")

    def close(self) -> None:
        """End the kernel and the page."""
        with suppress(Exception):
            self.page.evaluate(f"() => {PANEL}.sessionContext.shutdown()")
        self.page.close()


Open = Callable[..., NotebookPage]
