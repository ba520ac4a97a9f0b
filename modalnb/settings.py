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
        "volumes",
    }
)

MAX_BATCH_SIZE = 1_000
MAX_WAIT_MS = 600_000
DEFAULT_TIMEOUT = 300.0
MAX_TIMEOUT = 86_400.0
#: A short ``timeout`` is meant for inputs; a process may need longer to start on a busy machine.
LEAST_STARTUP_TIMEOUT = 10.0


def check_int(name: str, value: Any, at_least: int) -> int:
    """Return `value` if it is an int of at least `at_least`; bool is not an int."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidError(f"`{name}` must be an int; got {value!r}. Give a whole number.")
    if value < at_least:
        raise InvalidError(
            f"`{name}` must be at least {at_least}; got {value}. Give {at_least} or more."
        )
    return value


def check_number(
    name: str, value: Any, at_least: float, at_most: float, unit: str = "seconds"
) -> float:
    """Return `value` if it is a number between `at_least` and `at_most`; bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidError(
            f"`{name}` must be a number{f' of {unit}' * bool(unit)}; got {value!r}. "
            "Give an int or a float."
        )
    if not at_least <= value <= at_most:
        raise InvalidError(
            f"`{name}` must be between {at_least:g} and {at_most:g}{f' {unit}' * bool(unit)}; "
            f"got {value}. Give a number in that range."
        )
    return value


def check_seconds(name: str, value: Any, at_most: float) -> float:
    """Return `value` as seconds between 0 and `at_most`."""
    return check_number(name, value, 0, at_most)


def check_timeout(name: str, value: Any) -> float:
    """Return `value` as the seconds that something may take: more than none, at most a day."""
    check_number(name, value, 0, MAX_TIMEOUT)
    if not value:
        raise InvalidError(f"`{name}` must be above 0 seconds; got {value}. Give a longer time.")
    return float(value)


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
class ConcurrencySettings:
    """How many inputs a container takes at once, and how many the autoscaler plans for.

    ``target_inputs`` None or 0 is the same number as ``max_inputs``.
    """

    max_inputs: int
    target_inputs: int | None = None

    def __post_init__(self) -> None:
        check_int("max_inputs", self.max_inputs, 1)
        if self.target_inputs is None:
            return
        check_int("target_inputs", self.target_inputs, 0)
        if self.target_inputs > self.max_inputs:
            raise InvalidError(
                f"`target_inputs` ({self.target_inputs}) cannot be greater than "
                f"`max_inputs` ({self.max_inputs}). Raise `max_inputs` with it."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """How many inputs one invocation gets, and how long the first of them waits for others."""

    max_batch_size: int
    wait_ms: int
    adaptive: bool = False

    def __post_init__(self) -> None:
        check_int("max_batch_size", self.max_batch_size, 1)
        if self.max_batch_size > MAX_BATCH_SIZE:
            raise InvalidError(
                f"`max_batch_size` cannot be greater than {MAX_BATCH_SIZE}; got "
                f"{self.max_batch_size}. Give a smaller number."
            )
        check_int("wait_ms", self.wait_ms, 0)
        if self.wait_ms > MAX_WAIT_MS:
            raise InvalidError(
                f"`wait_ms` cannot be greater than {MAX_WAIT_MS}; got {self.wait_ms}. "
                "Give a shorter wait."
            )
        if not isinstance(self.adaptive, bool):
            raise InvalidError(f"`adaptive` must be a bool; got {self.adaptive!r}.")

    @property
    def wait(self) -> float:
        """The wait in seconds."""
        return self.wait_ms / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a failed input runs again, and after which delays.

    Parameters
    ----------
    max_retries : int
        Attempts beyond the first one.
    backoff_coefficient : float, default 2.0
        Factor from one delay to the next, 1 to 10.
    initial_delay : float, default 1.0
        Seconds before the first retry, 0 to 60.
    max_delay : float, default 60.0
        The longest delay in seconds, 1 to 60.

    Raises
    ------
    InvalidError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> Retries(max_retries=3, initial_delay=0.5).delay(2)
    1.0
    """

    max_retries: int
    backoff_coefficient: float = 2.0
    initial_delay: float = 1.0
    max_delay: float = 60.0

    def __post_init__(self) -> None:
        check_int("max_retries", self.max_retries, 0)
        check_number("backoff_coefficient", self.backoff_coefficient, 1, 10, "")
        check_number("initial_delay", self.initial_delay, 0, 60)
        check_number("max_delay", self.max_delay, 1, 60)

    @classmethod
    def declared(cls, value: Any) -> Retries:
        """What ``retries=`` of a decorator stands for; an int is that many, a second apart."""
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidError(
                f"`retries` must be an int or a `Retries`; got {value!r}. Give a whole number."
            )
        check_int("retries", value, 0)
        return cls(max_retries=value, backoff_coefficient=1.0)

    def to_dict(self) -> dict[str, Any]:
        """The same values as a plain dict."""
        return asdict(self)

    def delay(self, attempt: int) -> float:
        """Seconds between failed attempt number `attempt`, from 1 on, and the next."""
        growth = self.backoff_coefficient ** min(attempt - 1, 1_000 // self.backoff_coefficient)
        return float(min(self.max_delay, self.initial_delay * growth))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """All that a decorator says of a function and that the plane must know.

    ``cpu`` is the number of cores that one container is taken to use; ``None`` is measured.
    ``timeout`` is seconds of execution for each attempt, ``startup_timeout`` seconds until a
    container is ready (``None`` is as long as ``timeout``, and at least ten).  ``memory`` is in
    MiB, ``gpu`` the kinds of devices that will do, the best first; where there is none of them,
    ``gpu_fallback`` lets containers run without.
    """

    autoscaler: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    max_inputs: int = 1
    target_inputs: int = 1
    batch: BatchSettings | None = None
    retries: Retries | None = None
    timeout: float = DEFAULT_TIMEOUT
    startup_timeout: float | None = None
    single_use: bool = False
    cpu: float | None = None
    cpu_limit: float | None = None
    memory: int | None = None
    memory_limit: int | None = None
    gpu: tuple[str, ...] = ()
    gpu_fallback: bool = False

    def __post_init__(self) -> None:
        check_int("target_inputs", self.target_inputs, 1)
        ConcurrencySettings(max_inputs=self.max_inputs, target_inputs=self.target_inputs)
        check_timeout("timeout", self.timeout)
        if self.startup_timeout is not None:
            check_timeout("startup_timeout", self.startup_timeout)
        if not isinstance(self.single_use, bool):
            raise InvalidError(f"`single_use_containers` must be a bool; got {self.single_use!r}.")
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
        batch, retries = values.get("batch"), values.get("retries")
        return cls(
            **{
                **values,
                "autoscaler": AutoscalerSettings(**values["autoscaler"]),
                "batch": BatchSettings(**batch) if batch else None,
                "retries": Retries(**retries) if retries else None,
            }
        )

    @property
    def capacity(self) -> int:
        """Inputs that one container should carry: slots, times what a batch takes."""
        slots = 1 if self.single_use else self.target_inputs
        return slots * (self.batch.max_batch_size if self.batch else 1)

    @property
    def seconds_to_start(self) -> float:
        """How long a container may take until it is ready."""
        if self.startup_timeout is not None:
            return self.startup_timeout
        return max(self.timeout, LEAST_STARTUP_TIMEOUT)
