"""A system that has no room for another process: that is told, and the zygote lives on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

#: Root is exempt from limits on processes, so the zygote becomes another user first.
SCRIPT = """
import json, os, psutil, resource, socket, sys
from modalnb.cluster.zygote import encode, fork_zygote

if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
line = fork_zygote(lambda order: 7)
[zygote] = psutil.Process().children()
heard = line.makefile("rb")

def order_fork():
    output = os.open(os.devnull, os.O_WRONLY)
    socket.send_fds(line, [encode({"fork": "box"})], [output])
    os.close(output)
    return json.loads(heard.readline())

most = resource.prlimit(zygote.pid, resource.RLIMIT_NPROC)[1]
resource.prlimit(zygote.pid, resource.RLIMIT_NPROC, (0, most))
refused = order_fork()
resource.prlimit(zygote.pid, resource.RLIMIT_NPROC, (most, most))
forked = order_fork()
ended = json.loads(heard.readline())
print(json.dumps([refused, forked, ended]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="`prlimit` is Linux's")
def test_zygote_that_cannot_fork_says_so_and_forks_when_it_can() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    refused, forked, ended = answers
    assert refused == {"failed": "box", "why": "[Errno 11] Resource temporarily unavailable"}
    assert forked["forked"] == "box"
    assert ended == {"ended": forked["pid"], "status": 7}
