"""What can be seen of a job at one instant, and how that is said in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Stage = Literal["queued", "booting", "running", "done", "failed", "cancelled", "interrupted"]
ENDED: frozenset[Stage] = frozenset({"done", "failed", "cancelled", "interrupted"})

#: In less time nothing is said of speed.
MIN_SECONDS = 0.2

#: States of an input in `marks`, one byte each.
QUEUED, RUNNING, DONE, FAILED, CANCELLED = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job at one instant; times are seconds.

    ``waited`` is how long the first input waited for a container, and ``is_cold`` whether one had
    to be started for it.
    """

    job_id: str
    function: str
    cell: int | None = None
    stage: Stage = "queued"
    total: int | None = None
    added: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    containers: Mapping[str, int] = field(default_factory=dict)
    elapsed: float = 0.0
    waited: float | None = None
    is_cold: bool = False
    note: str = ""
    tail: tuple[str, ...] = ()
    marks: bytes = b""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.stage in ENDED

    @property
    def ended_inputs(self) -> int:
        """Inputs with an outcome."""
        return self.done + self.failed + self.cancelled

    @property
    def expected(self) -> int:
        """Inputs that there will be, as far as it is known."""
        return max(self.total or 0, self.added)

    @property
    def rate(self) -> float | None:
        """Inputs a second since the first one ran."""
        working = self.elapsed - (self.waited or 0.0)
        ended = self.ended_inputs
        return ended / working if ended > 1 and working > MIN_SECONDS else None

    @property
    def eta(self) -> float | None:
        """Seconds until all inputs have an outcome, if it goes on like this."""
        left = self.expected - self.ended_inputs
        if self.is_ended or self.rate is None or self.total is None or left <= 0:
            return None
        return left / self.rate

    @property
    def cold_share(self) -> float | None:
        """The part of the time that went into the start of the first container."""
        if not self.is_cold or self.waited is None or self.elapsed <= 0:
            return None
        return min(1.0, self.waited / self.elapsed)

    def to_dict(self) -> dict[str, Any]:
        """The same facts as plain values."""
        facts = asdict(self)
        del facts["marks"]
        facts["containers"] = dict(self.containers)
        facts["tail"] = list(self.tail)
        return {**facts, "rate": self.rate, "eta": self.eta, "cold_share": self.cold_share}


def seconds_words(seconds: float) -> str:
    """A length of time for people: ``42 ms``, ``1.5 s``, ``12 s``, ``3 min 5 s``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def head_words(facts: JobFacts) -> str:
    """The stage and how far it is: ``running 40 of 200``."""
    if facts.expected <= 1:
        return facts.stage
    if facts.stage in ("queued", "booting"):
        return f"{facts.stage}, {facts.expected:,} inputs"
    if facts.stage == "done":
        return f"done {facts.done:,} of {facts.expected:,}"
    after = "" if facts.stage == "running" else "after "
    return f"{facts.stage} {after}{facts.done + facts.failed:,} of {facts.expected:,}"


def count_words(facts: JobFacts) -> list[str]:
    """The counts that are not zero, in words."""
    words = []
    if facts.expected > 1 and not facts.is_ended:
        pending = max(0, facts.added - facts.ended_inputs - facts.running)
        words += [f"{facts.running:,} running", f"{pending:,} pending"]
    if facts.failed and facts.expected > 1:
        words.append(f"{facts.failed:,} failed")
    if facts.cancelled and facts.expected > 1:
        words.append(f"{facts.cancelled:,} cancelled")
    return words


def container_words(facts: JobFacts) -> str:
    """The containers of the pool: ``4 containers (1 booting)``."""
    count = sum(facts.containers.values())
    if not count:
        return "" if facts.is_ended else "no container"
    booting = 0 if facts.is_ended else facts.containers.get("booting", 0)
    words = f"{count} container{'s' * (count != 1)}"
    return f"{words} ({booting} booting)" if booting else words


def time_words(facts: JobFacts) -> list[str]:
    """Elapsed time, cold start, speed and what is left."""
    words = [seconds_words(facts.elapsed)]
    if (share := facts.cold_share) is not None:
        words.append(f"cold start {seconds_words(facts.waited or 0.0)} ({share:.0%})")
    elif facts.waited and facts.waited > 0.1 and not facts.is_cold:
        words.append(f"waited {seconds_words(facts.waited)}")
    if facts.rate is not None and facts.expected > 1:
        words.append(f"{facts.rate:,.3g} inputs/s")
    if facts.eta is not None:
        words.append(f"{seconds_words(facts.eta)} left")
    return words


def line(facts: JobFacts) -> str:
    """A job in one line of text."""
    words = [head_words(facts), *count_words(facts), container_words(facts), *time_words(facts)]
    text = f"{facts.job_id} {facts.function}: {', '.join(word for word in words if word)}"
    return f"{text}. {facts.note}" if facts.note else text
