"""Microseconds that the pure core takes per input: put, lease, output, end of call.

For inputs that run one by one, in batches of 32, and that fail once and are tried again.

python benchmarks/core_ledger.py [inputs] [inputs a message]
"""

import sys
import time

from modalnb.core import events as ev
from modalnb.core.ledger import Ledger
from modalnb.settings import BatchSettings, FunctionSettings, Retries

CONTAINERS = 4
WINDOW = 1000
ROUNDS = 7
KINDS = {
    "one by one": FunctionSettings(),
    "in batches": FunctionSettings(batch=BatchSettings(max_batch_size=32, wait_ms=0)),
    "tried again": FunctionSettings(retries=Retries(max_retries=1, initial_delay=0)),
}


def serve(settings: FunctionSettings, total: int, batch: int) -> float:
    """Process time per input, in microseconds, for one map over `total` short inputs."""
    ledger = Ledger()
    ledger.handle(ev.PoolDefined(pool_id="a/f", settings=settings), 0.0)
    failing = set(range(total)) if settings.retries else set()
    held = {f"c{n}": [] for n in range(CONTAINERS)}
    for name in held:
        ledger.handle(ev.ContainerReady(container_id=name, pool_id="a/f"), 0.0)

    def handle(event):
        for order in ledger.handle(event, now):
            if type(order) in (ev.RunInputs, ev.RunBatch):
                held[order.container_id].extend((item[0], item[2]) for item in order.inputs)

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
                outputs = []
                for lease, index in ended:
                    status = "error" if index in failing else "ok"
                    failing.discard(index)
                    done += status == "ok"
                    outputs.append((lease, status, payload, 1e-4))
                handle(ev.OutputsReturned(container_id=name, outputs=outputs))
                if settings.retries:
                    handle(ev.Tick())
    return (time.process_time() - begun) / total * 1e6


if __name__ == "__main__":
    total, batch = (int(a) for a in [*sys.argv[1:], "10000", "64"][:2])
    for name, settings in KINDS.items():
        rounds = sorted(serve(settings, total, batch) for _ in range(ROUNDS))
        print(f"{name}: {rounds[ROUNDS // 2]:.1f} µs per input (best {rounds[0]:.1f})")
