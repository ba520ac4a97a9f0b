"""All that readers outside the core may know of pools and containers: facts of one instant."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from modalnb.settings import AutoscalerSettings

ContainerState = Literal["booting", "idle", "busy", "draining"]

#: What a person should see of a pool's past: a cold start has ended, a container was lost without
#: having been asked to leave, other settings are in force.
MarkKind = Literal["ready", "died", "settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened to a pool at one instant; `seq` grows from mark to mark."""

    seq: int
    at: float
    kind: MarkKind
    pool_id: str
    container_id: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """How much of a limit is used."""

    name: str
    current: float
    maximum: float

    @property
    def level(self) -> float:
        """The used part, 0 to 1."""
        return min(1.0, self.current / self.maximum) if self.maximum else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStats:
    """One GPU, or one MIG slice of it, at one instant, as its driver tells.

    `utilization` is in percent and memory in bytes; ``None`` is what is not known, such as the
    utilization of a slice.  `index` is that of the whole device on its host.  `error` says why the
    device cannot be used, or why nothing is known of it now.
    """

    host: str
    index: int
    uuid: str
    name: str
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    container_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStats:
    """One container at one instant; times are seconds of the plane's clock."""

    container_id: str
    state: ContainerState
    running: int = 0
    prefetched: int = 0
    started_at: float = 0.0
    ready_at: float | None = None
    idle_since: float | None = None
    inputs_done: int = 0
    cpu: float | None = None
    memory: int | None = None
    pid: int | None = None
    host: str = ""
    #: The uuids of its devices.
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """One pool at one instant: what the autoscaler decides on and what every view shows.

    ``gauges`` are the limits with what is used of them.
    ``share`` is the number of *working* containers that the cluster grants the pool beside the
    others, ``room`` the number of containers of it that the cluster can hold at all; ``None`` is
    no limit, and ``room_words`` say what the limit is.  ``blocked`` containers only wait for other
    calls.  ``mean_duration`` and ``mean_boot`` are seconds, ``None`` until measured; half of the
    recent inputs got a slot within ``wait_p50`` seconds, nineteen of twenty within ``wait_p95``.
    ``batch_sizes`` are (size, batches) pairs, ``batch_waits`` (upper bound
    in seconds, batches) pairs of how long the first input of each waited.
    """

    pool_id: str
    app: str
    function: str
    taken_at: float
    settings: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    static: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    target_inputs: int = 1
    max_inputs: int = 1
    max_batch_size: int = 1
    single_use: bool = False
    pending: int = 0
    running: int = 0
    retrying: int = 0
    done: int = 0
    failed: int = 0
    containers: tuple[ContainerStats, ...] = ()
    share: int | None = None
    room: int | None = None
    room_words: str = ""
    contended: bool = False
    blocked: int = 0
    mean_duration: float | None = None
    mean_boot: float | None = None
    boot_failures: int = 0
    boot_failed_at: float = 0.0
    wait_p50: float | None = None
    wait_p95: float | None = None
    batch_sizes: tuple[tuple[int, int], ...] = ()
    batch_waits: tuple[tuple[float, int], ...] = ()
    reason: str = ""
    gauges: tuple[Gauge, ...] = ()

    @property
    def demand(self) -> int:
        """Inputs that want a slot: pending and running ones."""
        return self.pending + self.running

    def count(self, *states: ContainerState) -> int:
        """How many containers are in one of these states."""
        return sum(c.state in states for c in self.containers)

    @property
    def headroom(self) -> int:
        """Free slots of the containers that take inputs."""
        ready = (c for c in self.containers if c.state in ("idle", "busy"))
        room = (1 if self.single_use else self.max_inputs) * self.max_batch_size
        return sum(max(0, room - c.running) for c in ready)

    @property
    def capacity(self) -> int:
        """Inputs that one container should carry: slots, times what a batch takes."""
        return (1 if self.single_use else self.target_inputs) * self.max_batch_size

    def to_dict(self) -> dict[str, Any]:
        """The same facts as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> PoolSnapshot:
        """Rebuild a snapshot from :meth:`to_dict`."""
        return cls(
            **{
                **facts,
                "settings": AutoscalerSettings(**facts["settings"]),
                "static": AutoscalerSettings(**facts["static"]),
                "containers": tuple(_container(c) for c in facts["containers"]),
                "gauges": tuple(Gauge(**g) for g in facts["gauges"]),
                "batch_sizes": tuple((size, count) for size, count in facts["batch_sizes"]),
                "batch_waits": tuple((bound, count) for bound, count in facts["batch_waits"]),
            }
        )


def _container(facts: dict[str, Any]) -> ContainerStats:
    return ContainerStats(**{**facts, "gpus": tuple(facts["gpus"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSnapshot:
    """All pools of an app at one instant; ``seq`` grows with every snapshot of the engine.

    ``devices`` are those of the whole cluster, whichever app uses them; ``device_errors`` tells
    of hosts whose driver cannot be asked.
    """

    app_id: str
    name: str
    seq: int
    taken_at: float
    pools: tuple[PoolSnapshot, ...] = ()
    devices: tuple[DeviceStats, ...] = ()
    device_errors: tuple[str, ...] = ()

    def pool(self, function: str) -> PoolSnapshot | None:
        """The pool of the function of that name, if it has one."""
        return next((p for p in self.pools if p.function == function), None)

    def to_dict(self) -> dict[str, Any]:
        """The same facts as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> AppSnapshot:
        """Rebuild a snapshot from :meth:`to_dict`."""
        pools = tuple(PoolSnapshot.from_dict(p) for p in facts["pools"])
        devices = tuple(DeviceStats(**d) for d in facts["devices"])
        errors = tuple(facts["device_errors"])
        return cls(**{**facts, "pools": pools, "devices": devices, "device_errors": errors})
