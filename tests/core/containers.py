"""A model of a container: holds jobs in its slots, and reads orders when it likes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modalnb.core import events as ev

if TYPE_CHECKING:
    from tests.core.model import Fate

#: Lease, call and index.
Job = tuple[int, str, int]
Key = tuple[str, int]


@dataclass
class FakeContainer:
    """Executes batches at once and single jobs in order, as far as it has slots for them."""

    name: str
    pool_id: str
    max_inputs: int = 1
    expected_at: float = 0.0
    ready_at: float | None = None
    is_draining: bool = False
    is_retired: bool = False
    is_killed: bool = False
    jobs: list[Job] = field(default_factory=list)
    orders: list[ev.Instruction] = field(default_factory=list)
    #: The first lease of the batch of each lease that has one.
    batch_of: dict[int, int] = field(default_factory=dict)
    leased_at: dict[int, float] = field(default_factory=dict)
    #: When something last left a slot.
    moved_at: float = 0.0
    #: Leases by what is known of them: those that somebody waits for, and the others with the
    #: time at which the container is ended if it still holds them.
    live: dict[int, Fate] = field(default_factory=dict)
    zombies: dict[int, float] = field(default_factory=dict)
    #: How many slots its own code wants.
    own_slots: float = math.inf
    #: Inputs that have left its slots.
    done: int = 0

    @property
    def is_ready(self) -> bool:
        return self.ready_at is not None

    @property
    def slots(self) -> list[list[Job]]:
        """What its slots execute: batches, and as many single jobs as fit."""
        batches: dict[int, list[Job]] = {}
        single = []
        for job in self.jobs:
            if job[0] in self.batch_of:
                batches.setdefault(self.batch_of[job[0]], []).append(job)
            else:
                single.append([job])
        free = max(0, self.max_inputs - len(batches))
        return sorted([*batches.values(), *single[:free]])

    @property
    def executing(self) -> list[Job]:
        return [job for slot in self.slots for job in slot]

    @property
    def waiting(self) -> list[Job]:
        executing = self.executing
        return [job for job in self.jobs if job not in executing]

    def reslot(self, most: int) -> None:
        """Its function gives it so many slots at most."""
        self.max_inputs = int(min(most, self.own_slots))

    def mates(self, lease: int) -> list[int]:
        """The leases of the batch of a lease; itself if it is in none."""
        batch = self.batch_of.get(lease)
        if batch is None:
            return [lease]
        return [job[0] for job in self.jobs if self.batch_of.get(job[0]) == batch]

    def add(self, jobs: list[Job], now: float, *, is_batch: bool) -> None:
        for job in jobs:
            self.jobs.append(job)
            self.leased_at[job[0]] = now
            if is_batch:
                self.batch_of[job[0]] = jobs[0][0]
