"""Knows which input the running code belongs to, in every thread and task of a container."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CurrentInput:
    """The input that the code around works on."""

    call_id: str
    index: int
    #: What connects this input's container to its plane: a ``ContainerPlugin``.
    home: Any
    #: The invocation that executes it: a ``Run``.
    run: Any = None

    @property
    def input_id(self) -> str:
        """The id of the input, unique in its engine."""
        return f"in-{self.call_id.removeprefix('fc-')}-{self.index}"


current: ContextVar[CurrentInput | None] = ContextVar("modalnb_current_input", default=None)

#: The container of this process, for code that has lost its context; None where there is none.
process_home: Any = None


def home() -> Any:
    """What connects the running code to the plane; None outside of containers."""
    now = current.get()
    return now.home if now is not None else process_home
