"""Handles that give other handles: the same function or class with other settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from modalnb.api.declaring import options_of
from modalnb.api.decorators import concurrency_fields
from modalnb.exception import InvalidError
from modalnb.settings import BatchSettings, ConcurrencySettings, FunctionSettings, Retries

if TYPE_CHECKING:
    from modalnb.api.bases import Base
    from modalnb.variants import Variant


class Optioned(ABC):
    """Whatever has a base and a variant of it."""

    _base: Base
    _variant: Variant

    @property
    def _settings(self) -> FunctionSettings:
        """What is declared; of a handle from elsewhere, what it adds to the defaults."""
        return (self._base.settings or FunctionSettings()).with_options(self._variant.options)

    @property
    def _wanted_gpu(self) -> tuple[str, ...]:
        """The devices that are asked for here, without looking a name up."""
        declared = self._base.settings.gpu if self._base.settings is not None else ()
        return tuple(self._variant.options.get("gpu", declared))

    @abstractmethod
    def _with(self, variant: Variant) -> Self:
        """The same with another variant."""

    def with_options(
        self,
        *misused: Any,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        cpu: float | None = None,
        retries: int | Retries | None = None,
        timeout: float | None = None,
        **others: Any,
    ) -> Self:
        """Get a handle with other settings; it has a pool of its own.

        Settings that are not given stay as they are, so one cannot be taken back with None. A
        handle made from this one has these and its own. Equal settings lead to the same pool,
        wherever the handle was made. The pool keeps no containers warm by itself beyond the
        ``min_containers`` of the decorator; there is no option for it.

        Parameters
        ----------
        max_containers, buffer_containers, scaledown_window, cpu, retries, timeout : optional
            As for :meth:`App.function`; ``max_containers=0`` is no limit.

        Raises
        ------
        InvalidError
            If a value is wrong, or does not fit the other settings.

        Examples
        --------
        >>> import modalnb as modal
        >>> app = modal.App()
        >>> @app.function(max_containers=10)
        ... def work(x):
        ...     return x
        >>> work.with_options(max_containers=2).name
        'work[max_containers=2]'
        """
        if misused:
            raise InvalidError("`with_options` takes keyword arguments only; name each option.")
        given = {
            "max_containers": max_containers,
            "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window,
            "cpu": cpu,
            "retries": retries,
            "timeout": timeout,
            **others,
        }
        if "min_containers" in others:
            raise InvalidError(
                "`with_options` has no `min_containers`. Use `update_autoscaler` on the handle "
                "that it returns."
            )
        return self._optioned(options_of(given, stacklevel=3))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Self:
        """Get a handle whose containers take several inputs at once; it has a pool of its own.

        Parameters
        ----------
        max_inputs : int
            Inputs that a container takes at once.
        target_inputs : int, optional
            Inputs for which the autoscaler plans a container; `max_inputs` if not given.

        Raises
        ------
        InvalidError
            If a value is wrong.

        Examples
        --------
        >>> work.with_concurrency(max_inputs=10)  # doctest: +SKIP
        """
        settings = ConcurrencySettings(max_inputs=max_inputs, target_inputs=target_inputs)
        return self._optioned(concurrency_fields(settings))

    def with_batching(self, *, max_batch_size: int, wait_ms: int, adaptive: bool = False) -> Self:
        """Get a handle whose inputs run in batches; it has a pool of its own.

        The function must take lists already.

        Parameters
        ----------
        max_batch_size, wait_ms, adaptive : int, int, bool
            As for :func:`modalnb.batched`.

        Raises
        ------
        InvalidError
            If a value is wrong, the function cannot take lists, or a class has other methods.

        Examples
        --------
        >>> work.with_batching(max_batch_size=8, wait_ms=10)  # doctest: +SKIP
        """
        settings = BatchSettings(max_batch_size=max_batch_size, wait_ms=wait_ms, adaptive=adaptive)
        self._check_batches()
        return self._optioned({"batch": asdict(settings)})

    @abstractmethod
    def _check_batches(self) -> None:
        """Refuse batches where they cannot be, as far as that is known."""

    def _optioned(self, options: dict[str, Any]) -> Self:
        varied = self._with(self._variant.with_options(options))
        # What does not fit the other settings is an error here, where they are known.
        varied._settings  # noqa: B018
        return varied
