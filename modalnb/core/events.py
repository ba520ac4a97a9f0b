"""What happened (events) and what the shell must do about it (instructions), as small values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from modalnb.settings import FunctionSettings

#: How an input ended: "lost" with its container too often, "stalled" when it waited for itself.
Status = Literal["ok", "error", "timeout", "lost", "cancelled", "stalled"]

#: A call is live while its caller waits on it, durable when its outputs are kept.
CallKind = Literal["live", "durable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDefined(Event):
    """A function was registered, or registered again with other settings.

    A ``deployed`` one keeps its inputs when its containers cannot start, for as long as it takes.
    """

    pool_id: str
    settings: FunctionSettings
    deployed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRemoved(Event):
    """A function is no more: its containers leave when what was accepted is done or cancelled.

    Callers of its open calls may go on; the pool is gone when the last call has ended.
    """

    pool_id: str
    cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsPut(Event):
    """A caller hands in inputs, numbered from `start`; the first put opens the call.

    ``patient`` callers keep refused inputs and put them again, so a refusal is no error for them.
    Inputs that were admitted before are skipped.  Inputs beyond those that were refused do not
    enter, and nobody is told again: a patient caller that hears of a refusal puts everything from
    there on once more, so it loses nothing and runs nothing twice.
    """

    caller: str
    call_id: str
    pool_id: str
    code: str
    start: int
    payloads: Sequence[Any]
    kind: CallKind = "live"
    closed: bool = True
    patient: bool = False
    parent: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsAnswered(Event):
    """So many more inputs are done: requests of the web that shared the lease of another."""

    pool_id: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAwaited(Event):
    """An input, `by`, asks for outputs of a call and waits for them, or ``is_over``: no more.

    Live calls need no such word: the input that made one waits for it until it ends.
    """

    caller: str
    call_id: str
    by: tuple[str, int]
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClosed(Event):
    """The caller has no more inputs for this call but those that were refused."""

    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCancelled(Event):
    """Nobody wants the outputs of this call any more; ``kill`` ends containers at work on it."""

    call_id: str
    kill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerGone(Event):
    """A caller vanished: its live calls are cancelled, its durable ones get no more inputs."""

    caller: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExpected(Event):
    """A container of a pool is being started."""

    container_id: str
    pool_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerReady(Event):
    """A container takes inputs from now on; one that nobody expected counts as started now."""

    container_id: str
    pool_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLost(Event):
    """A container is gone; `story` says how, in words for the user.

    `failure` is the exception, as a payload, with which its start failed.  `over_limit` says that
    it was ended because it used more memory than it may.
    """

    container_id: str
    story: str
    failure: Any = None
    over_limit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainAsked(Event):
    """These containers shall take no more inputs and leave when their slots are free."""

    container_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputsReturned(Event):
    """A container reports outputs as (lease, status, payload, seconds) tuples."""

    container_id: str
    outputs: Sequence[tuple[int, Status, Any, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasesReturned(Event):
    """A container gives back leases that it has not started."""

    container_id: str
    leases: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasesOverdue(Event):
    """Inputs have executed for longer than their timeout; the container tries to stop them."""

    container_id: str
    leases: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInTime(Event):
    """Nothing in a container is overdue: the first of its inputs has executed for `seconds`."""

    container_id: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStuck(Event):
    """A container executes something that it cannot stop alone: only its end will."""

    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsChanged(Event):
    """The code in a container wants it to take so many inputs at once, if its function does."""

    container_id: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StallChecked(Event):
    """Look whether functions wait for themselves; the `full` pools can get no container more.

    `rivals` are the pools whose containers hold what a full one lacks, such as devices.
    """

    full: frozenset[str]
    rivals: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Event):
    """Time has passed; nothing else happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Something that the shell must carry out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs(Instruction):
    """Send these (lease, call id, index, code, payload) tuples to the container."""

    container_id: str
    inputs: tuple[tuple[int, str, int, str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBatch(Instruction):
    """Send these tuples, as those of :class:`RunInputs`, to be executed by one invocation."""

    container_id: str
    inputs: tuple[tuple[int, str, int, str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallLeases(Instruction):
    """Ask the container to give back those of these leases that it has not started."""

    container_id: str
    leases: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelLeases(Instruction):
    """Tell the container to stop working on these leases."""

    container_id: str
    leases: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireContainer(Instruction):
    """The drained container is unused: end it."""

    container_id: str
    pool_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillContainer(Instruction):
    """The container does not let go of an input, or does not get ready: end its process."""

    container_id: str
    pool_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverOutputs(Instruction):
    """Send these (call id, index, status, payload) tuples to the caller."""

    caller: str
    outputs: tuple[tuple[str, int, Status, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOutputs(Instruction):
    """Keep these (call id, index, status, payload) tuples for whoever asks."""

    outputs: tuple[tuple[str, int, Status, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAccepted(Instruction):
    """Tell the caller that all of this put was admitted; `count` inputs of the call are by now."""

    caller: str
    call_id: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsRefused(Instruction):
    """Tell the caller that inputs from `start` on were not admitted, and which limit says so."""

    caller: str
    call_id: str
    start: int
    count: int
    limit: str
    current: int
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadsSpent(Instruction):
    """These payloads, which are more than bytes, will not be sent again."""

    payloads: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolGone(Instruction):
    """A removed pool has neither inputs nor containers any more."""

    pool_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Instruction):
    """All inputs of the call have their outcome; a durable call keeps its outputs."""

    call_id: str
    pool_id: str
    code: str
    kind: CallKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChanged(Instruction):
    """The autoscaler should look at this pool now."""

    pool_id: str
