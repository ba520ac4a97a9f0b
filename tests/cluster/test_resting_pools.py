"""Pools that nobody uses cost nothing: their autoscalers go, and come back with the next input."""

from __future__ import annotations

from typing import Any

import pytest

SETUP = """
import gc
import modalnb as modal
from distributed import LocalCluster
from modalnb.cluster.operator import Operator

cluster = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0", security=None)
connection = modal.connect(cluster=cluster, cores=4)
operator = next(found for found in gc.get_objects() if isinstance(found, Operator))
app = modal.App("resting")

@app.cls(scaledown_window=0.1, max_containers=1)
class Model:
    number: int = modal.parameter()

    @modal.method()
    def predict(self, x):
        return self.number + x
"""


@pytest.fixture
def host(make_peer: Any) -> Any:
    """A process with a class and the operator of its cluster."""
    peer = make_peer()
    peer.do(SETUP)
    return peer


def test_autoscaler_of_an_empty_pool_rests_until_its_next_input(host: Any, wait_until: Any) -> None:
    for number in range(2):
        assert host.get(f"Model(number={number}).predict.remote(1)") == number + 1
    wait_until(lambda: host.get("len(operator._adaptives)") == 0)
    assert host.get("len(app.snapshot().pools)") == 2
    assert host.get("Model(number=1).predict.remote(5)") == 6
    # One that shall keep a container warm does not rest.
    host.do("Model(number=0).update_autoscaler(min_containers=1)")
    wait_until(lambda: host.get("Model(number=0).snapshot().count('idle')") == 1)
    wait_until(lambda: host.get("len(operator._adaptives)") == 1)
    host.do("connection.close()")
    host.do("cluster.close()")
