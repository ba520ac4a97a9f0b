"""Numbers in the words that people read: times, counts, bytes, what a pool is doing and costs."""

from __future__ import annotations

from modalnb.notebook.spending import Seconds
from modalnb.settings import AutoscalerSettings
from modalnb.snapshot import ContainerState, ContainerStats, Gauge, PoolSnapshot

#: The four parameters of an autoscaler, with the words that stand beside their sliders.
PARAMETERS = {
    "min_containers": "min containers",
    "max_containers": "max containers",
    "buffer_containers": "buffer containers",
    "scaledown_window": "scaledown window, s",
}

#: A letter and a shape for each state, so that no colour has to be told apart.
SIGNS: dict[ContainerState, tuple[str, str]] = {
    "busy": ("B", "■"),
    "idle": ("I", "□"),
    "booting": ("S", "△"),
    "draining": ("D", "◇"),
}

AMBER = 0.8


def seconds(value: float | None) -> str:
    """A time such as ``0.06 s``, ``12 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    if value is None:
        return "–"
    if value < 9.95:
        return f"{value:.2f} s" if value < 0.995 else f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def number(value: float) -> str:
    """A number with as many digits as one can read at a glance."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.2f}" if abs(value) < 1 else f"{value:,.1f}"


def mebibytes(value: float) -> str:
    """Memory given in MiB."""
    return f"{value:,.0f} MiB" if value < 10_000 else f"{value / 1024:,.1f} GiB"


def parameter(name: str, value: float | None) -> str:
    """A value of an autoscaler's parameter."""
    if value is None:
        return "unlimited"
    return f"{value:g} s" if name == "scaledown_window" else f"{value:,}"


def plural(count: int, word: str) -> str:
    """``1 container``, ``2 containers``."""
    return f"{count:,} {word}{'s' * (count != 1)}"


def states(pool: PoolSnapshot) -> str:
    """``5 containers: 3 busy, 2 idle``."""
    counts = [f"{n:,} {state}" for state in SIGNS if (n := pool.count(state))]
    total = plural(len(pool.containers), "container")
    return f"{total}: {', '.join(counts)}" if counts else "no containers"


def summary(pool: PoolSnapshot, rate: float) -> str:
    """The pool in one sentence, for the title of its picture and for screen readers."""
    inputs = f"{pool.pending:,} pending, {pool.running:,} running and {pool.done:,} done inputs"
    words = [states(pool), inputs]
    if rate:
        words.append(f"{number(rate)} outputs a second")
    return f"{pool.function}: {'; '.join(words)}."


def idle_left(container: ContainerStats, settings: AutoscalerSettings, now: float) -> float | None:
    """Seconds until an idle container may be drained; None if it is not idle."""
    if container.state != "idle" or container.idle_since is None:
        return None
    return max(0.0, container.idle_since + settings.scaledown_window - now)


def container_words(container: ContainerStats, settings: AutoscalerSettings, now: float) -> str:
    """What a container does, such as ``busy with 2`` or ``idle, 12 s left``."""
    left = idle_left(container, settings, now)
    if left is not None:
        return f"idle, {seconds(left)} left"
    if container.state == "booting":
        return f"booting for {seconds(max(0.0, now - container.started_at))}"
    return f"{container.state} with {container.running}"


def overridden(pool: PoolSnapshot) -> list[str]:
    """The parameters whose value in force is not the declared one."""
    return [n for n in PARAMETERS if getattr(pool.settings, n) != getattr(pool.static, n)]


def gauge_words(gauge: Gauge) -> str:
    """``pending inputs 1,800 of 2,000``."""
    return f"{gauge.name} {number(gauge.current)} of {number(gauge.maximum)}"


def cost(spent: Seconds, rate: float | None) -> str:
    """What containers were there for while somebody watched, and what that costs."""
    parts = (
        ("busy", spent.busy),
        ("booting", spent.booting),
        ("idle", spent.idle),
        ("kept by min", spent.kept),
        ("kept as buffer", spent.buffer),
    )
    split = " · ".join(f"{name} {seconds(value)}" for name, value in parts if value >= 0.005)
    text = f"container time {seconds(spent.total)}" + (f": {split}" if split else "")
    if rate is not None:
        text += f"; ≈ {spent.total / 3600 * rate:,.4f} at {rate:g} a container-hour"
    return text


def as_code(pool: PoolSnapshot) -> str:
    """The settings in force as the call that brings them about, and as the decorator's values."""
    values = {
        name: getattr(pool.settings, name)
        for name in PARAMETERS
        if name in overridden(pool) or pool.settings == pool.static
    }
    # `update_autoscaler` takes 0 for no limit, since None keeps what is in force.
    call = ", ".join(f"{n}={0 if v is None else _literal(v)}" for n, v in values.items())
    defaults = AutoscalerSettings()
    declared = ", ".join(
        f"{name}={_literal(getattr(pool.settings, name))}"
        for name in PARAMETERS
        if getattr(pool.settings, name) != getattr(defaults, name)
    )
    name = pool.function
    return f"{name}.update_autoscaler({call})\n# or declared: @app.function({declared})"


def _literal(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
