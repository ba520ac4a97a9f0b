"""``function.autoscaler``: Modal's newer way to see and to change the settings of a pool."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from modalnb.api import current
from modalnb.api.scaling import FunctionAutoscalerSettings
from modalnb.api.twin import twin
from modalnb.api.waiting import ask
from modalnb.settings import AutoscalerSettings, check_int

if TYPE_CHECKING:
    from modalnb.api.function import Function

_KEEP: Any = object()
#: What None stands for: the values of a function whose decorator says nothing.
_RESET = {**AutoscalerSettings().to_dict(), "max_containers": 0}


class Autoscaler:
    """The settings in force of one function."""

    def __init__(self, function: Function) -> None:
        self._function = function

    @twin
    def settings(self) -> FunctionAutoscalerSettings:
        """The settings in force.

        Examples
        --------
        >>> square.autoscaler.settings().max_containers  # doctest: +SKIP
        10
        """
        stub = current.stub()
        answer = ask(stub, "settings", pool_id=self._function._pool_id(stub))
        return FunctionAutoscalerSettings(**answer["effective"])

    @settings.aio
    async def _settings_aio(self) -> FunctionAutoscalerSettings:
        """The same for ``await``."""
        return await asyncio.to_thread(lambda: self.settings())

    @twin
    def update(
        self,
        *,
        min_containers: int | None = _KEEP,
        max_containers: int | None = _KEEP,
        buffer_containers: int | None = _KEEP,
        scaledown_window: float | None = _KEEP,
    ) -> FunctionAutoscalerSettings:
        """Change how the pool scales; what is not given is kept, and None is no setting.

        Without a setting there is no minimum, no maximum, no buffer, and the window is 60 s. It
        is otherwise the same as :meth:`Function.update_autoscaler`.

        Raises
        ------
        InvalidError
            If a value is out of range, or the minimum would be above the maximum.

        Examples
        --------
        >>> square.autoscaler.update(max_containers=None)  # doctest: +SKIP
        """
        return self._update(locals())

    @update.aio
    async def _update_aio(
        self,
        *,
        min_containers: int | None = _KEEP,
        max_containers: int | None = _KEEP,
        buffer_containers: int | None = _KEEP,
        scaledown_window: float | None = _KEEP,
    ) -> FunctionAutoscalerSettings:
        """The same for ``await``."""
        return await asyncio.to_thread(self._update, locals())

    def _update(self, given: dict[str, Any]) -> FunctionAutoscalerSettings:
        if given["max_containers"] not in (None, _KEEP):
            check_int("max_containers", given["max_containers"], 1)
        values = {
            name: default if given[name] is None else given[name]
            for name, default in _RESET.items()
            if given[name] is not _KEEP
        }
        changed: FunctionAutoscalerSettings = self._function.update_autoscaler(**values)
        return changed
