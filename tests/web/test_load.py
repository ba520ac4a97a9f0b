"""Many requests at once, sent and counted by wrk."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

import httpx
import pytest

import modalnb

Url = Callable[[str], str]
Wait = Callable[[Callable[[], object]], None]
CONNECTIONS = 64


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing (Debian: apt install wrk)")
def test_every_request_of_many_is_answered(
    site: modalnb.App, url: Url, open_gateway: Callable[..., str], wait_until: Wait
) -> None:
    """More connections than slots: the others wait in line, and the books agree with wrk's."""
    api = site.registered_functions["api"]
    before = api.snapshot().done
    path = httpx.URL(url("api/echo")).path
    line = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", "2s", "--timeout", "10s"]
    said = subprocess.run(
        [*line, open_gateway(rate=0) + path], capture_output=True, text=True, check=True
    ).stdout
    assert "Socket errors" not in said
    assert "Non-2xx" not in said
    found = re.search(r"(\d+) requests in", said)
    assert found is not None
    answered = int(found[1])
    assert answered > CONNECTIONS
    # Those that were under way when wrk stopped count too, if they were answered.
    wait_until(lambda: answered <= api.snapshot().done - before <= answered + CONNECTIONS)
    wait_until(lambda: api.snapshot().running == 0)
    assert api.snapshot().pending == 0
