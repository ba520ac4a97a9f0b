"""Containers that do not come up are reported, and nothing else waits for them."""

from __future__ import annotations

from typing import Any

import pytest

#: The template of each job is read when a container is started, so `python` may be changed.
HOST = """
import modalnb, sys
from dask_jobqueue.local import LocalCluster
cluster = LocalCluster(
    cores=1,
    memory="1 GB",
    python="{python}",
    scheduler_options={{"host": "127.0.0.1", "dashboard_address": ":0"}},
    worker_extra_args=["--host", "127.0.0.1"],
)
modalnb.connect(cluster=cluster)
app = modalnb.App("jobs")

@app.function()
def work(x):
    return 2 * x
"""
#: Workers run `change` before they come up.
CHANGED = """
import dask, modalnb, modalnb.plane.scheduler_plugin
from distributed import LocalCluster
dask.config.set({{"distributed.worker.multiprocessing-method": "forkserver"}})
modalnb.plane.scheduler_plugin.HELLO_SECONDS = 1.0
cluster = LocalCluster(
    n_workers=0, host="127.0.0.1", dashboard_address=":0", preload=["import sys\\n{change}\\n"]
)
modalnb.connect(cluster=cluster)
app = modalnb.App("jobs")
work = app.function(name="work")(lambda x: 2 * x)
"""


def test_failed_starts_are_told_to_the_caller_and_wedge_nothing(make_peer: Any) -> None:
    """In Dask alone, one worker of this kind makes every later change of the cluster fail."""
    host = make_peer()
    host.do(HOST.format(python="no-such-python"))
    with pytest.raises(host.Error, match="could not be started: FileNotFoundError"):
        host.get("work.remote(1)")
    host.do("cluster.new_spec['options']['python'] = sys.executable")
    host.do("other = app.function(name='other')(lambda x: x + 1)")
    assert host.get("other.remote(1)") == 2
    assert host.get("work.remote(1)") == 2


def test_worker_without_modalnb_is_told_and_replaced(make_peer: Any, wait_until: Any) -> None:
    host = make_peer()
    host.do(CHANGED.format(change="sys.modules['modalnb'] = None"))
    host.do("call = work.spawn(1)")
    wait_until(lambda: host.get("work.snapshot().boot_failures"))
    host.do("cluster.new_spec['options']['preload'] = []")
    assert host.get("call.get(timeout=20)") == 2


def test_worker_with_another_modalnb_is_told_to_the_caller(make_peer: Any) -> None:
    host = make_peer()
    host.do(CHANGED.format(change="import modalnb.messages; modalnb.messages.PROTOCOL = 99"))
    with pytest.raises(host.Error, match=r"speaks protocol 99.*the same version on both"):
        host.get("work.remote(1)")
