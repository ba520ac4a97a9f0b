"""Maps: streams of results with a bounded number of inputs on the way, in either direction."""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from modalnb.api.call import FunctionCall, new_call_id
from modalnb.api.feeding import Feeder, zipped
from modalnb.api.map_run import MapRun
from modalnb.api.printing import Sink
from modalnb.api.progress import of_map
from modalnb.api.spawn_run import SpawnRun
from modalnb.api.twin import refuse_in_coroutine
from modalnb.api.viewing import View
from modalnb.exception import InvalidError
from modalnb.payload.failure import users_part

if TYPE_CHECKING:
    from modalnb.api.function import Function


class MapResults:
    """The results of one map, to be iterated once, with ``for`` or ``async for``.

    Nothing is read or sent before the first result is asked for.
    """

    def __init__(self, called: str, start: Callable[[bool], MapRun]) -> None:
        #: The function and the method, as in ``square.map``.
        self._called = called
        #: Begins, and is told whether the results are awaited.
        self._start = start
        self._run: MapRun | None = None
        self._is_used = False

    # -- for -------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        try:
            refuse_in_coroutine(self._called)
        except InvalidError:
            self._is_used = True
            raise
        return self

    def __next__(self) -> Any:
        __tracebackhide__ = True
        try:
            return self._opened(is_awaited=False).next()
        except StopIteration:
            raise
        except BaseException as error:
            self._end(error)
            raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__

    def _opened(self, *, is_awaited: bool) -> MapRun:
        if self._run is None:
            self._is_used = True
            self._run = self._start(is_awaited)
        return self._run

    def close(self) -> None:
        """Cancel what has no result yet; the results of the others are thrown away."""
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self._is_used = True
        if self._run is not None:
            self._run.close(error)

    # -- async for -------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._opened(is_awaited=True).next_async()
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._end(error)
            raise

    async def aclose(self) -> None:
        """The same as :meth:`close`, for ``contextlib.aclosing``."""
        self.close()

    def __del__(self) -> None:
        if self._is_used:
            self.close()
        else:
            warnings.warn(
                f"The results of `{self._called}(...)` were never asked for, so "
                "nothing has run. Iterate over them, or use `.for_each(...)`.",
                RuntimeWarning,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        return f"<results of {self._called}>"


def _results(
    function: Function,
    method: str,
    arguments: Iterable[Any] | AsyncIterator[Any],
    total: int | None,
    kwargs: dict[str, Any],
    *,
    order_outputs: bool,
    return_exceptions: bool,
    progress: bool | View | None,
) -> MapResults:
    def start(is_awaited: bool) -> MapRun:
        view = of_map(function, total, progress)
        try:
            return open_(view, is_awaited)
        except BaseException as error:
            view.close(error)
            raise

    def open_(view: View, is_awaited: bool) -> MapRun:
        stub, route = function._route()
        run = MapRun(
            stub,
            call_id=new_call_id(),
            function=function.name,
            sink=Sink(function.name),
            order_outputs=order_outputs,
            return_exceptions=return_exceptions,
            view=view,
            put=route,
        )
        run.start(Feeder(arguments, kwargs, run, in_loop=is_awaited))
        return run

    return MapResults(f"{function.name}.{method}", start)


def _check_kwargs(kwargs: Any) -> dict[str, Any]:
    if not isinstance(kwargs, dict):
        raise InvalidError(f"`kwargs` must be a dict; got {kwargs!r}.")
    return kwargs


def map_(
    function: Function,
    *input_iterators: Any,
    kwargs: dict[str, Any] | None = None,
    order_outputs: bool = True,
    return_exceptions: bool = False,
    wrap_returned_exceptions: bool | None = None,
    progress: bool | View | None = None,
) -> MapResults:
    """Run the function on many inputs; results come as they are done.

    At most 1,000 inputs are on the way, so the iterators may be endless; further ones are read
    as results come back, also while the caller is busy with one.

    Parameters
    ----------
    *input_iterators : iterable or async iterable
        Zipped; the shortest ends the map.
    kwargs : dict, optional
        Keyword arguments that every input gets.
    order_outputs : bool, default True
        Whether results keep the order of the inputs; otherwise they come by completion.
    return_exceptions : bool, default False
        Whether the exceptions themselves stand among the results. Otherwise the first failure is
        raised, after the earlier results that are done, and the rest is cancelled.
    progress : bool, optional
        Whether to show a bar. By default a long map shows one where a person can see it.

    Returns
    -------
    MapResults
        To be iterated with ``for`` or ``async for``.

    Raises
    ------
    InvalidError
        If there is no iterator, or something is no iterable.

    Examples
    --------
    >>> list(square.map(range(3)))  # doctest: +SKIP
    [0, 1, 4]
    """
    if wrap_returned_exceptions is not None:
        warnings.warn(
            "`wrap_returned_exceptions` has no effect: exceptions are returned as they are.",
            DeprecationWarning,
            stacklevel=3,
        )
    arguments, total = zipped(input_iterators)
    return _results(
        function,
        "map",
        arguments,
        total,
        _check_kwargs(kwargs or {}),
        order_outputs=order_outputs,
        return_exceptions=return_exceptions,
        progress=progress,
    )


def starmap_(
    function: Function,
    input_iterator: Any,
    *,
    kwargs: dict[str, Any] | None = None,
    order_outputs: bool = True,
    return_exceptions: bool = False,
    wrap_returned_exceptions: bool | None = None,
    progress: bool | View | None = None,
) -> MapResults:
    """Like ``map``, with each item unpacked into the positional arguments of one input.

    Examples
    --------
    >>> list(add.starmap([(1, 2), (3, 4), (5, 6)]))  # doctest: +SKIP
    [3, 7, 11]
    """
    arguments, total = zipped((input_iterator,), unpack=True)
    return _results(
        function,
        "starmap",
        arguments,
        total,
        _check_kwargs(kwargs or {}),
        order_outputs=order_outputs,
        return_exceptions=return_exceptions,
        progress=progress,
    )


def for_each_(
    function: Function,
    *input_iterators: Any,
    kwargs: dict[str, Any] | None = None,
    ignore_exceptions: bool = False,
    progress: bool | View | None = None,
) -> None:
    """Run the function on many inputs for its effects; returns when all are done.

    Parameters
    ----------
    ignore_exceptions : bool, default False
        Whether failures are passed over; otherwise the first one is raised.
    """
    refuse_in_coroutine(f"{function.name}.for_each")
    for _ in map_(
        function,
        *input_iterators,
        kwargs=kwargs,
        order_outputs=False,
        return_exceptions=ignore_exceptions,
        progress=progress,
    ):
        pass


async def for_each_aio(function: Function, *input_iterators: Any, **options: Any) -> None:
    """The same for ``await``."""
    ignore = options.pop("ignore_exceptions", False)
    async for _ in map_(
        function, *input_iterators, order_outputs=False, return_exceptions=ignore, **options
    ):
        pass


def spawn_map_(
    function: Function, *input_iterators: Any, kwargs: dict[str, Any] | None = None
) -> FunctionCall:
    """Hand in many inputs and return when all are accepted; results wait for whoever asks.

    Returns
    -------
    FunctionCall
        With ``num_inputs()``, ``get(index=i)`` and ``iter()``; Modal returns None.
    """
    refuse_in_coroutine(f"{function.name}.spawn_map")
    return _spawn_map(function, input_iterators, kwargs)


async def spawn_map_aio(
    function: Function, *input_iterators: Any, kwargs: dict[str, Any] | None = None
) -> FunctionCall:
    """The same for ``await``; the iterators are read on a thread."""
    return await asyncio.to_thread(_spawn_map, function, input_iterators, kwargs)


def _spawn_map(function: Function, iterators: Any, kwargs: dict[str, Any] | None) -> FunctionCall:
    arguments, _ = zipped(iterators)
    stub, route = function._route()
    run = SpawnRun(
        stub,
        call_id=new_call_id(),
        function=function.name,
        put=route,
    )
    run.hand_in(Feeder(arguments, _check_kwargs(kwargs or {}), run))
    return FunctionCall(run.call_id, function.name, sink=Sink(function.name))


class _MapMethod:
    """A map method with its ``.aio`` twin."""

    def __init__(self, plain: Callable[..., Any], aio: Callable[..., Any]) -> None:
        self._plain = plain
        self._aio = aio
        self.__doc__ = plain.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        return _BoundMap(self._plain, self._aio, owner)


class _BoundMap:
    def __init__(self, plain: Callable[..., Any], aio: Callable[..., Any], owner: Any) -> None:
        self._plain = functools.partial(plain, owner)
        self.aio = functools.partial(aio, owner)
        self.__doc__ = plain.__doc__
        self.__signature__ = _without_first(plain)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return self._plain(*args, **kwargs)


def _without_first(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


map_twin = _MapMethod(map_, map_)
starmap_twin = _MapMethod(starmap_, starmap_)
for_each_twin = _MapMethod(for_each_, for_each_aio)
spawn_map_twin = _MapMethod(spawn_map_, spawn_map_aio)
