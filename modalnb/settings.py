"""Frozen, validated settings: declared by a decorator, changed by an override, in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from modalnb import resources
from modalnb.exception import InvalidError

DEFAULT_SCALEDOWN_WINDOW = 60.0
MAX_SCALEDOWN_WINDOW = 3600.0

#: Old names of Modal's parameters, and what took their place.
RENAMED = {
    "keep_warm": "min_containers",
    "concurrency_limit": "max_containers",
    "container_idle_timeout": "scaledown_window",
    "allow_concurrent_inputs": "@modal.concurrent",
}

#: Parameters of Modal that mean nothing on machines that people already have.
IGNORED = frozenset(
    {
        "block_network",
        "cloud",
        "enable_memory_snapshot",
        "env",
        "ephemeral_disk",
        "experimental_options",
        "i6pn",
        "image",
        "include_source",
        "network_file_systems",
        "nonpreemptible",
        "proxy",
        "region",
        "restrict_modal_access",
        "routing_region",
        "secrets",
        "serialized",
        "volumes",
    }
)

#: Parameters of Modal that modalnb knows and does not carry out yet.
PLANNED = frozenset(
    {
        "gpu",
        "max_inputs",
        "memory",
        "retries",
        "schedule",
        "single_use_containers",
        "startup_timeout",
        "timeout",
    }
)


def check_int(name: str, value: Any, at_least: int) -> int:
    """Return `value` if it is an int of at least `at_least`; bool is not an int."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidError(f"`{name}` must be an int; got {value!r}. Give a whole number.")
    if value < at_least:
        raise InvalidError(
            f"`{name}` must be at least {at_least}; got {value}. Give {at_least} or more."
        )
    return value


def check_seconds(name: str, value: Any, at_most: float) -> float:
    """Return `value` as seconds between 0 and `at_most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidError(
            f"`{name}` must be a number of seconds; got {value!r}. Give an int or a float."
        )
    if not 0 <= value <= at_most:
        raise InvalidError(
            f"`{name}` must be between 0 and {at_most:g} seconds; got {value}. "
            "Give a number in that range."
        )
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerSettings:
    """The four numbers that steer a pool; ``max_containers=None`` is as many as the cluster hosts.

    Raises
    ------
    InvalidError
        If a value is of the wrong type or out of range, or ``min_containers`` is above
        ``max_containers``.
    """

    min_containers: int = 0
    max_containers: int | None = None
    buffer_containers: int = 0
    scaledown_window: float = DEFAULT_SCALEDOWN_WINDOW

    def __post_init__(self) -> None:
        check_int("min_containers", self.min_containers, 0)
        check_int("buffer_containers", self.buffer_containers, 0)
        if self.max_containers is not None:
            check_int("max_containers", self.max_containers, 1)
            if self.min_containers > self.max_containers:
                raise InvalidError(
                    f"`min_containers` ({self.min_containers}) cannot be greater than "
                    f"`max_containers` ({self.max_containers}). Raise `max_containers` with it."
                )
        check_seconds("scaledown_window", self.scaledown_window, MAX_SCALEDOWN_WINDOW)

    def with_override(self, override: Mapping[str, Any]) -> AutoscalerSettings:
        """The settings in force when `override` lies over these."""
        return replace(self, **override)

    def to_dict(self) -> dict[str, Any]:
        """The same values as a plain dict."""
        return asdict(self)


def checked_override(values: Mapping[str, Any]) -> dict[str, Any]:
    """Validate some of the four values on their own; ``None`` sets nothing, zero is no maximum."""
    given = {name: value for name, value in values.items() if value is not None}
    if _is_zero(given.get("max_containers")):
        given["max_containers"] = None
    # Only each value is checked here; min against max waits for the settings in force.
    for name, value in given.items():
        AutoscalerSettings(**{name: value})
    return given


def merged(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of :class:`FunctionSettings` with others over them, in the form of its ``to_dict``."""
    result = {**fields, **more}
    autoscaler = {**fields.get("autoscaler", {}), **more.get("autoscaler", {})}
    if autoscaler:
        result["autoscaler"] = autoscaler
    return result


def _is_zero(value: Any) -> bool:
    return value == 0 and isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many inputs may wait and run; the numbers of Modal's scaling guide."""

    pending: int = 2_000
    total: int = 25_000
    pending_spawns: int = 1_000_000
    map_outstanding: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """All that a decorator says of a function and that the plane must know.

    ``cpu`` is the number of cores that one container is taken to use; ``None`` is measured.
    ``memory`` is in MiB, ``gpu`` the kinds of devices that will do, the best first; where there is
    none of them, ``gpu_fallback`` lets containers run without.
    """

    autoscaler: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    max_inputs: int = 1
    target_inputs: int = 1
    cpu: float | None = None
    cpu_limit: float | None = None
    memory: int | None = None
    memory_limit: int | None = None
    gpu: tuple[str, ...] = ()
    gpu_fallback: bool = False

    def __post_init__(self) -> None:
        check_int("max_inputs", self.max_inputs, 1)
        check_int("target_inputs", self.target_inputs, 1)
        if self.target_inputs > self.max_inputs:
            raise InvalidError(
                f"`target_inputs` ({self.target_inputs}) cannot be greater than "
                f"`max_inputs` ({self.max_inputs}). Raise `max_inputs` with it."
            )
        resources.check_cpu(self.cpu, self.cpu_limit)
        resources.check_memory(self.memory, self.memory_limit)
        object.__setattr__(self, "gpu", resources.gpu_wishes(self.gpu))

    @property
    def footprint(self) -> tuple[Any, ...]:
        """What a container is given when it starts; with other values it has to be replaced."""
        return (self.gpu, self.cpu, self.cpu_limit, self.memory, self.memory_limit)

    def with_options(self, options: Mapping[str, Any]) -> FunctionSettings:
        """These settings with some fields replaced, which are in the form of :meth:`to_dict`."""
        return FunctionSettings.from_dict(merged(self.to_dict(), options))

    def to_dict(self) -> dict[str, Any]:
        """The same values as a plain dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FunctionSettings:
        """Rebuild settings from :meth:`to_dict`."""
        return cls(**{**values, "autoscaler": AutoscalerSettings(**values["autoscaler"])})
