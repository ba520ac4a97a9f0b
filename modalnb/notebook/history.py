"""What was seen of an app over time: bounded rings of samples, one for each snapshot.

Nothing here reads a clock: all times are those of the snapshots, seconds of the plane's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from modalnb.notebook.spending import Spending
from modalnb.snapshot import AppSnapshot, DeviceStats, Mark, PoolSnapshot

#: Points kept of each pool and of each device, fewer if there are many, and marks of each pool.
MAX_POINTS = 3_600
MIN_POINTS = 300
ALL_POINTS = 36_000
MAX_MARKS = 300
#: Outputs are counted over this many seconds for the throughput.
RATE_SECONDS = 2.0
#: Looks further apart than this are no line: nobody knows what was between them.
GAP_SECONDS = 15.0

MIB = 2**20


class Sample(NamedTuple):
    """A pool at one instant; ``is_cut`` if what was before it is not known.

    ``rate`` is outputs a second; ``cpu`` are the cores that busy containers want, as sum and of
    the one that wants most; memory is resident, in MiB, as sum and of the largest container;
    ``buffer`` are the containers that the buffer adds to the need at that time.
    """

    at: float
    is_cut: bool
    booting: int
    idle: int
    busy: int
    draining: int
    pending: int
    running: int
    rate: float
    wait_p50: float | None
    wait_p95: float | None
    cpu: float
    cpu_most: float
    memory: int
    memory_most: int
    minimum: int
    maximum: int | None
    buffer: int


class DeviceSample(NamedTuple):
    """A GPU at one instant: how busy it is and how full its memory, in percent."""

    at: float
    is_cut: bool
    utilization: float | None
    memory: float | None


Row = TypeVar("Row", Sample, DeviceSample)


class Ring(Generic[Row]):
    """The last points of a line; while nothing changes, one point moves on instead of many."""

    def __init__(self, size: int = MAX_POINTS) -> None:
        self.rows: deque[Row] = deque(maxlen=size)
        #: Points that were ever added, moved ones left out.
        self.count = 0

    def add(self, row: Row) -> None:
        """Take in a point that is later than the ones before."""
        rows = self.rows
        if len(rows) > 1 and _is_flat(rows[-2], rows[-1], row):
            rows[-1] = row
        else:
            rows.append(row)
            self.count += 1


def _is_flat(*rows: tuple[object, ...]) -> bool:
    """Whether three points that follow one another say the same, and none but the first is cut."""
    first, *others = rows
    return all(row[2:] == first[2:] and not row[1] for row in others)


class PoolHistory:
    """One pool: its line, its marks, what its containers were there for."""

    def __init__(self, size: int = MAX_POINTS) -> None:
        self.ring: Ring[Sample] = Ring(size)
        self.marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self.spending = Spending()
        self._done: deque[tuple[float, int]] = deque()

    def add(self, pool: PoolSnapshot, marks: Iterable[Mark]) -> None:
        """Take in a snapshot that is later than the one before."""
        seen = self.marks[-1].seq if self.marks else 0
        self.marks.extend(mark for mark in marks if mark.seq > seen)
        last = self.ring.rows[-1].at if self.ring.rows else None
        is_cut = last is not None and pool.taken_at - last > GAP_SECONDS
        if is_cut:
            self._done.clear()
            self.spending.skip()
        self.spending.add(pool)
        buffer = pool.settings.buffer_containers if self.spending.is_active else 0
        self.ring.add(_sample(pool, self._rate(pool), buffer, is_cut=is_cut))

    def _rate(self, pool: PoolSnapshot) -> float:
        done = self._done
        done.append((pool.taken_at, pool.done))
        while len(done) > 2 and pool.taken_at - done[1][0] >= RATE_SECONDS:
            done.popleft()
        seconds = pool.taken_at - done[0][0]
        return round((pool.done - done[0][1]) / seconds, 2) if seconds > 0 else 0.0


def _sample(pool: PoolSnapshot, rate: float, buffer: int, *, is_cut: bool) -> Sample:
    cpu = [c.cpu for c in pool.containers if c.cpu is not None and c.state == "busy"]
    memory = [c.memory // MIB for c in pool.containers if c.memory is not None]
    return Sample(
        at=pool.taken_at,
        is_cut=is_cut,
        booting=pool.count("booting"),
        idle=pool.count("idle"),
        busy=pool.count("busy"),
        draining=pool.count("draining"),
        pending=pool.pending,
        running=pool.running,
        rate=rate,
        wait_p50=_rounded(pool.wait_p50),
        wait_p95=_rounded(pool.wait_p95),
        cpu=round(sum(cpu), 2),
        cpu_most=round(max(cpu, default=0.0), 2),
        memory=sum(memory),
        memory_most=max(memory, default=0),
        minimum=pool.settings.min_containers,
        maximum=pool.settings.max_containers,
        buffer=buffer,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


class History:
    """All that was seen of an app, or of one pool of it."""

    def __init__(self, only: str | None = None) -> None:
        self._only = only
        self.latest: AppSnapshot | None = None
        #: What to add to the plane's time to get seconds since 1970.
        self.clock = 0.0
        self.pools: dict[str, PoolHistory] = {}
        self.devices: dict[str, Ring[DeviceSample]] = {}

    def add(self, snapshot: AppSnapshot, marks: Iterable[Mark] = ()) -> None:
        """Take in a snapshot and the marks since the one before; older snapshots are left out."""
        if self.latest is not None and snapshot.taken_at <= self.latest.taken_at:
            return
        self.latest = snapshot
        by_pool: dict[str, list[Mark]] = {}
        for mark in marks:
            by_pool.setdefault(mark.pool_id, []).append(mark)
        shown = self.shown()
        size = min(MAX_POINTS, max(MIN_POINTS, ALL_POINTS // max(1, len(shown))))
        for gone in self.pools.keys() - {pool.pool_id for pool in shown}:
            del self.pools[gone]
        for pool in shown:
            history = self.pools.get(pool.pool_id)
            if history is None:
                history = self.pools[pool.pool_id] = PoolHistory(size)
            history.add(pool, by_pool.get(pool.pool_id, ()))
        self._add_devices(snapshot)

    def shown(self) -> list[PoolSnapshot]:
        """The pools of the latest snapshot that are looked at."""
        if self.latest is None:
            return []
        return [pool for pool in self.latest.pools if self._only in (None, pool.pool_id)]

    def _add_devices(self, snapshot: AppSnapshot) -> None:
        for gone in self.devices.keys() - {device_key(device) for device in snapshot.devices}:
            del self.devices[gone]
        for device in snapshot.devices:
            ring = self.devices.setdefault(device_key(device), Ring())
            last = ring.rows[-1].at if ring.rows else snapshot.taken_at
            ring.add(
                DeviceSample(
                    at=snapshot.taken_at,
                    is_cut=snapshot.taken_at - last > GAP_SECONDS,
                    utilization=device.utilization,
                    memory=_percent(device.memory_used, device.memory_total),
                )
            )


def _percent(used: int | None, total: int | None) -> float | None:
    return round(100 * used / total, 1) if used is not None and total else None


def device_key(device: DeviceStats) -> str:
    """What tells devices of all hosts apart; one that is lost may have no id to tell."""
    return f"{device.host}/{device.uuid or device.index}"
