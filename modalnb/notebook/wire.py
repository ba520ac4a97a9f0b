"""The messages to the page: all that is known when it asks, then only what has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from modalnb.notebook import charts, words
from modalnb.notebook.history import MAX_POINTS, MIB, History, Ring, Sample, device_key
from modalnb.notebook.render import device_words, no_gpu
from modalnb.notebook.words import SIGNS
from modalnb.snapshot import AppSnapshot, ContainerStats, DeviceStats, Mark, PoolSnapshot

Message = dict[str, Any]


def _row(values: Iterable[Any]) -> list[Any]:
    return [round(value, 3) if isinstance(value, float) else value for value in values]


def _mark(mark: Mark) -> Message:
    return {"kind": mark.kind, "at": round(mark.at, 3), "text": mark.text}


def _container(container: ContainerStats, pool: PoolSnapshot) -> list[Any]:
    until = None
    if container.idle_since is not None and container.state == "idle":
        until = round(container.idle_since + pool.settings.scaledown_window, 2)
    is_busy = container.state == "busy" and container.cpu is not None
    return [
        container.container_id,
        container.state,
        container.running,
        round(container.cpu or 0.0, 1) if is_busy else None,
        None if container.memory is None else container.memory // MIB,
        until,
        list(container.gpus),
    ]


def _figures(pool: PoolSnapshot, rate: float) -> list[tuple[str, str]]:
    figures = [
        ("containers", f"{len(pool.containers):,}"),
        ("pending", f"{pool.pending:,}"),
        ("running", f"{pool.running:,}"),
        ("outputs/s", words.number(rate)),
        ("done", f"{pool.done:,}"),
    ]
    if pool.failed:
        figures.append(("failed", f"{pool.failed:,}"))
    if pool.retrying:
        figures.append(("retrying", f"{pool.retrying:,}"))
    if pool.wait_p50 is not None:
        waits = f"{words.seconds(pool.wait_p50)} / {words.seconds(pool.wait_p95)}"
        figures.append(("wait p50 / p95", waits))
    if pool.mean_boot is not None:
        figures.append(("cold start", words.seconds(pool.mean_boot)))
    return figures


def pool_facts(pool: PoolSnapshot, history: History, rate: float | None) -> Message:
    """What is said of a pool beside its line, in words where words are shown."""
    known = history.pools[pool.pool_id]
    throughput = known.ring.rows[-1].rate
    is_batched = pool.max_batch_size > 1
    return {
        "name": pool.function,
        "brief": f"{len(pool.containers)} · {pool.pending:,} pending",
        "why": pool.reason or "nothing has been decided yet",
        "summary": words.summary(pool, throughput),
        "figures": _figures(pool, throughput),
        "containers": [_container(container, pool) for container in pool.containers],
        "batches": sorted(pool.batch_sizes) if is_batched else [],
        "gauges": [
            (words.gauge_words(g), round(g.level, 3), g.level >= words.AMBER) for g in pool.gauges
        ],
        "cost": words.cost(known.spending.seconds, rate),
    }


def device_facts(device: DeviceStats) -> Message:
    """What is said of a GPU beside its line."""
    _, memory, holder = device_words(device)
    return {
        "title": f"GPU {device.index} on {device.host}",
        "note": f"{device.name.removeprefix('NVIDIA ')} · {holder}",
        "memory": memory,
        "error": device.error,
    }


@dataclass(slots=True)
class _Sent:
    """What the page has of one line."""

    facts: Message
    row: tuple[Any, ...]
    mark: int = 0


class Wire:
    """Remembers what the page knows, to send no more than what is new to it."""

    def __init__(self, history: History) -> None:
        self._history = history
        #: What a container costs in an hour.
        self.rate: float | None = None
        self._pools: dict[str, _Sent] = {}
        self._devices: dict[str, _Sent] = {}

    def state(self, *, every: float) -> Message:
        """All that is known; the next message comes after about `every` seconds."""
        history, snapshot = self._history, self._snapshot()
        self._pools.clear()
        self._devices.clear()
        pools, devices = [], []
        for pool in history.shown():
            known = history.pools[pool.pool_id]
            facts = pool_facts(pool, history, self.rate)
            sent = self._pools[pool.pool_id] = _Sent(facts, known.ring.rows[-1][2:])
            sent.mark = known.marks[-1].seq if known.marks else 0
            marks = [_mark(mark) for mark in known.marks]
            pools.append({"id": pool.pool_id, "rows": _rows(known.ring), "marks": marks, **facts})
        for device in snapshot.devices:
            key, facts = device_key(device), device_facts(device)
            ring = history.devices[key]
            self._devices[key] = _Sent(facts, ring.rows[-1][2:])
            devices.append({"id": key, "rows": _rows(ring), **facts})
        return {
            "kind": "state",
            "name": snapshot.name or snapshot.app_id,
            "now": round(snapshot.taken_at, 3),
            "clock": history.clock,
            "every": every,
            "most": MAX_POINTS,
            "pools": pools,
            "devices": devices,
            "nogpu": no_gpu(snapshot),
            **_legend(),
        }

    def _snapshot(self) -> AppSnapshot:
        assert self._history.latest is not None
        return self._history.latest

    def delta(self, *, every: float) -> tuple[Message, bool]:
        """What is new since the message before, and whether that is more than the passing time."""
        history, snapshot = self._history, self._snapshot()
        pools, devices = [], []
        for pool in history.shown():
            known = history.pools[pool.pool_id]
            facts = pool_facts(pool, history, self.rate)
            news = _news(self._pools, pool.pool_id, known.ring, facts)
            sent = self._pools[pool.pool_id]
            if marks := [mark for mark in known.marks if mark.seq > sent.mark]:
                news["marks"] = [_mark(mark) for mark in marks]
                sent.mark = marks[-1].seq
            if news:
                pools.append({"id": pool.pool_id, **news})
        for device in snapshot.devices:
            key = device_key(device)
            if news := _news(self._devices, key, history.devices[key], device_facts(device)):
                devices.append({"id": key, **news})
        pools += _gone(self._pools, history.pools)
        devices += _gone(self._devices, history.devices)
        message = {
            "kind": "delta",
            "now": round(snapshot.taken_at, 3),
            "every": every,
            "pools": pools,
            "devices": devices,
        }
        return message, any(line.keys() - {"id", "cost"} for line in (*pools, *devices))


def _rows(ring: Ring[Any]) -> list[list[Any]]:
    return [_row(row) for row in ring.rows]


def _news(known: dict[str, _Sent], key: str, ring: Ring[Any], facts: Message) -> Message:
    """What is not as in the message before: the point, and those of the facts that changed."""
    row = ring.rows[-1]
    sent = known.setdefault(key, _Sent({}, ()))
    news = {k: v for k, v in facts.items() if k not in sent.facts or sent.facts[k] != v}
    if row[1] or row[2:] != sent.row:
        news["row"] = _row(row)
    sent.facts, sent.row = facts, row[2:]
    return news


def _gone(known: dict[str, _Sent], present: Collection[str]) -> list[Message]:
    """The lines that the page has and that are no more."""
    gone = sorted(known.keys() - set(present))
    for key in gone:
        del known[key]
    return [{"id": key, "row": None} for key in gone]


def _legend() -> Message:
    """What the page draws with: the columns of a row, the charts, the signs."""
    specs = [
        {
            "title": chart.title,
            "unit": chart.unit,
            "height": chart.height,
            "always": chart.is_always_there,
            "lines": [asdict(line) for line in chart.lines],
        }
        for chart in charts.CHARTS
    ]
    return {
        "fields": list(Sample._fields),
        "charts": specs,
        "signs": {"states": SIGNS, "marks": charts.MARKS},
    }
