"""Microseconds that the pure core takes per input: put, lease, output, end of call.

python benchmarks/core_ledger.py [inputs] [inputs a message]
"""

import sys
import time

from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.settings import FunctionSettings

CONTAINERS = 4
WINDOW = 1000
ROUNDS = 7


def serve(total: int, batch: int) -> float:
    """Process time per input, in microseconds, for one map over `total` short inputs."""
    ledger = Ledger()
    ledger.handle(ev.PoolDefined(pool_id="a/f", settings=FunctionSettings()), 0.0)
    held = {f"c{n}": [] for n in range(CONTAINERS)}
    for name in held:
        ledger.handle(ev.ContainerReady(container_id=name, pool_id="a/f"), 0.0)

    def handle(event):
        for order in ledger.handle(event, now):
            if type(order) is ev.RunInputs:
                held[order.container_id].extend(item[0] for item in order.inputs)

    now = 0.0
    sent = done = 0
    payload = b"x" * 50
    begun = time.process_time()
    while done < total:
        while sent < total and sent - done < WINDOW:
            count = min(batch, total - sent)
            handle(
                ev.InputsPut(
                    caller="c",
                    call_id="map",
                    pool_id="a/f",
                    code="code",
                    start=sent,
                    payloads=[payload] * count,
                    closed=False,
                    patient=True,
                )
            )
            sent += count
        for name in held:
            ended, held[name] = held[name][:batch], held[name][batch:]
            if ended:
                now += 1e-4
                done += len(ended)
                outputs = [(lease, "ok", payload, 1e-4) for lease in ended]
                handle(ev.OutputsReturned(container_id=name, outputs=outputs))
    return (time.process_time() - begun) / total * 1e6


if __name__ == "__main__":
    total, batch = (int(a) for a in [*sys.argv[1:], "10000", "64"][:2])
    rounds = sorted(serve(total, batch) for _ in range(ROUNDS))
    print(f"{rounds[ROUNDS // 2]:.1f} µs per input (best {rounds[0]:.1f})")
