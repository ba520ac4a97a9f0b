"""Functions: calls of every kind, their autoscaler, and what can be seen of them."""

from __future__ import annotations

import asyncio
import builtins
import sys
from collections.abc import Callable
from typing import Any

from modalnb import messages as m
from modalnb.api import current, display, gpu_fallback, mapping, tracebacks, viewing, web_url
from modalnb.api.autoscaler import Autoscaler
from modalnb.api.bases import Base, Declared, named
from modalnb.api.call import FunctionCall, new_call_id
from modalnb.api.decorators import check_batched
from modalnb.api.hydrating import Hydratable
from modalnb.api.options import Optioned
from modalnb.api.printing import Sink
from modalnb.api.scaling import Scalable
from modalnb.api.streaming import Stream
from modalnb.api.twin import twin
from modalnb.api.waiting import Ticket, retry_refused, retry_refused_async, value_of
from modalnb.configuration import config
from modalnb.exception import InvalidError
from modalnb.payload import envelope
from modalnb.payload.code import note_handle
from modalnb.payload.failure import users_part
from modalnb.plane.stub import Stub
from modalnb.variants import PLAIN, Variant

#: A call that has no container after so many seconds says why.
PATIENCE_SECONDS = 10.0


class Function(Scalable, Optioned, Hydratable):
    """A function that runs in containers; made by ``@app.function`` or :meth:`from_name`.

    It is not callable: say where it shall run with :meth:`remote`, :meth:`local`, :meth:`map` …
    """

    __modalnb_fixed__ = True
    #: Of the method of a class, its name.
    _method = ""

    def __init__(self, base: Base, variant: Variant = PLAIN) -> None:
        self._base = base
        self._variant = variant
        self._name = variant.name_of(base.name)
        if base.raw is not None:
            self.__doc__ = base.raw.__doc__

    # -- identity --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name under which the function is registered in its app."""
        return self._name

    @property
    def app(self) -> Any:
        """The app that the function was declared in; None for a handle from elsewhere."""
        return self._base.app

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str,
        *,
        version: int | None = None,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Function:
        """A handle of a function by the names of its app and its own; looked up at first use.

        Parameters
        ----------
        app_name, name : str
            The app must be deployed, or running, when the handle is used.
        version, environment_name, client : optional
            Accepted as in Modal; there is one version and one environment here.

        Raises
        ------
        InvalidError
            If a name is no str, or `name` has a dot in it.
        NotFoundError
            At first use, if there is no such app or function.

        Examples
        --------
        >>> import modalnb as modal
        >>> process = modal.Function.from_name("my-app", "process")
        >>> process
        Function.from_name('my-app', 'process')
        """
        return Function(named(app_name, name, is_class=False))

    def _look_up(self) -> None:
        self._pool_id(current.stub())

    @property
    def autoscaler(self) -> Autoscaler:
        """The settings of the pool, to look at and to change."""
        return Autoscaler(self)

    @property
    def _raw(self) -> Callable[..., Any] | None:
        return self._base.raw  # type: ignore[no-any-return]

    def _pool_id(self, stub: Stub) -> str:
        return self._base.ready(stub, self._variant)[0]

    def _ensure(self, stub: Stub) -> None:
        """Let the plane know the function before other code calls it."""
        self._base.ready(stub, self._variant)

    def _code(self, code: str | None) -> str | None:
        """What an input runs, of the code of the pool; None is all of it, as the plane has it."""
        return code

    def _route(self, *, streams: bool = False) -> tuple[Stub, dict[str, Any]]:
        """Where the inputs of a call go, with which code, and which input makes the call."""
        stub = current.stub()
        pool_id, code = self._base.ready(stub, self._variant)
        self._check_kind(streams=streams)
        gpu_fallback.warn_once(stub, pool_id, self)
        return stub, {"pool_id": pool_id, "code": self._code(code), "parent": current.parent()}

    def _with(self, variant: Variant) -> Function:
        return Function(self._base, variant)

    def _check_batches(self) -> None:
        if self._raw is not None:
            check_batched(self._raw)

    def _in(self, base: Declared) -> Function:
        """The same in another app."""
        return Function(base)

    def __reduce__(self) -> tuple[Any, ...]:
        note_handle(self)
        return Function, (self._base.reference(), self._variant)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"'Function' object is not callable. Use `{self._name}.remote(...)` to run it in a "
            f"container, or `{self._name}.local(...)` to run it here."
        )

    def __repr__(self) -> str:
        return display.reference_text(self) or display.handle_text(self)

    def _repr_html_(self) -> str:
        return display.handle_html(self)

    # -- single calls ----------------------------------------------------------------------

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here, in this process; a coroutine if it is ``async def``.

        Raises
        ------
        ExecutionError
            On a handle from :meth:`from_name`, which has no local definition.
        """
        return self._base.source()(*args, **kwargs)

    def _put(
        self, kind: str, args: Any, kwargs: Any, view: viewing.View = viewing.NOTHING
    ) -> tuple[Stub, str, Ticket]:
        stub, route = self._route()
        call_id = new_call_id()
        ticket = Ticket(self._name, Sink(self._name), view)
        payload = envelope.pack((args, kwargs), stub.depot, "arguments")
        stub.open(call_id, ticket)
        stub.send(
            m.PUT,
            call_id=call_id,
            start=0,
            payloads=[payload],
            kind=kind,
            **route,
        )
        view.opened(call_id, lambda: self._abandon(stub, call_id))
        return stub, call_id, ticket

    @property
    def _is_generator(self) -> bool:
        """Whether its results are streamed; of a handle by name, known once it was looked up."""
        interface = self._base.interface
        facts = interface.method(self._method) if interface is not None else None
        return facts is not None and facts.is_generator

    @twin
    def get_web_url(self) -> str | None:
        """Where the function answers HTTP requests; None if it is no web function.

        The first use starts the gateway, unless one is running. In a notebook the value shows as
        a link, which leads through jupyter-server-proxy where the notebook is elsewhere.

        Examples
        --------
        >>> web_service.get_web_url()  # doctest: +SKIP
        'http://127.0.0.1:38211/shop/web_service'
        """
        return web_url.url_of(self)

    @get_web_url.aio
    async def _get_web_url_aio(self) -> str | None:
        """The same for ``await``."""
        return await asyncio.to_thread(web_url.url_of, self)

    def _check_kind(self, *, streams: bool) -> None:
        web_url.refuse_call(self)
        if self._is_generator and not streams:
            raise InvalidError(
                f"`{self._name}` is a generator, whose results are streamed. "
                "Iterate over `.remote_gen(...)`."
            )
        if streams and not self._is_generator:
            raise InvalidError(
                f"`{self._name}` is no generator, so it has nothing to stream. Call `.remote(...)`."
            )

    @twin
    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function in a container and wait for its value.

        Raises
        ------
        Exception
            Whatever the function raised, as itself, with its remote frames.
        ResourceExhaustedError
            If the function has as many inputs as its limits allow.
        SerializationError
            If an argument, the value or the exception cannot be pickled.
        ContainerLostError
            If the container died under this input again and again.

        Examples
        --------
        >>> square.remote(3)  # doctest: +SKIP
        9
        """
        __tracebackhide__ = True
        try:
            return retry_refused(lambda: self._remote(args, kwargs), config.max_throttle_wait)
        except BaseException as error:
            raise error.with_traceback(users_part(error.__traceback__)) from error.__cause__

    @remote.aio
    async def _remote_aio(self, *args: Any, **kwargs: Any) -> Any:
        """The same for ``await``."""
        return await retry_refused_async(
            lambda: self._remote_async(args, kwargs), config.max_throttle_wait
        )

    def _remote(self, args: Any, kwargs: Any) -> Any:
        with viewing.of_call(self._name) as view:
            stub, call_id, ticket = self._put("live", args, kwargs, view)
            try:
                status, payload = self._wait(ticket)
            except BaseException:
                self._abandon(stub, call_id)
                raise
            finally:
                stub.close(call_id)
        return value_of(stub, self._name, status, payload, keep=False)

    async def _remote_async(self, args: Any, kwargs: Any) -> Any:
        with viewing.of_call(self._name) as view:
            stub, call_id, ticket = self._put("live", args, kwargs, view)
            try:
                status, payload = await ticket.wait_async()
            except BaseException:
                self._abandon(stub, call_id)
                raise
            finally:
                stub.close(call_id)
        return value_of(stub, self._name, status, payload, keep=False)

    def _wait(self, ticket: Ticket) -> tuple[str, Any]:
        """Wait for an outcome; after a while without any container, say what it waits for."""
        try:
            return ticket.wait(PATIENCE_SECONDS)
        except builtins.TimeoutError:
            if current.is_watched():
                self._tell_wait()
        return ticket.wait()

    def _tell_wait(self) -> None:
        pool = self.snapshot()
        if not pool.running:
            waited = f"{PATIENCE_SECONDS:g} s"
            words = f"{display.pool_words(pool)}. {pool.reason}"
            print(f"modalnb: `{self._name}` has waited {waited}: {words}", file=sys.stderr)

    @staticmethod
    def _abandon(stub: Stub, call_id: str) -> None:
        if not stub.is_closed:
            stub.send(m.CANCEL, call_id=call_id)

    @twin
    def spawn(self, *args: Any, **kwargs: Any) -> FunctionCall:
        """Hand in an input and return at once, as soon as it is accepted.

        Returns
        -------
        FunctionCall
            Its ``get()`` waits for the value, from any process, for as long as results are kept.

        Examples
        --------
        >>> call = square.spawn(3)  # doctest: +SKIP
        >>> call.get()  # doctest: +SKIP
        9
        """
        return retry_refused(  # type: ignore[no-any-return]
            lambda: self._spawn(args, kwargs), config.max_throttle_wait
        )

    @spawn.aio
    async def _spawn_aio(self, *args: Any, **kwargs: Any) -> FunctionCall:
        """The same for ``await``."""
        return await retry_refused_async(  # type: ignore[no-any-return]
            lambda: self._spawn_async(args, kwargs), config.max_throttle_wait
        )

    def _spawn(self, args: Any, kwargs: Any) -> FunctionCall:
        stub, call_id, ticket = self._put("durable", args, kwargs)
        try:
            ticket.wait()
        finally:
            stub.close(call_id)
        return FunctionCall(call_id, self._name, sink=ticket.sink)

    async def _spawn_async(self, args: Any, kwargs: Any) -> FunctionCall:
        stub, call_id, ticket = self._put("durable", args, kwargs)
        try:
            await ticket.wait_async()
        finally:
            stub.close(call_id)
        return FunctionCall(call_id, self._name, sink=ticket.sink)

    # -- generators ------------------------------------------------------------------------

    @twin
    def remote_gen(self, *args: Any, **kwargs: Any) -> Stream:
        """Run a generator function in a container and iterate over what it yields.

        At most 64 elements are made ahead; a consumer that stops taking them stops the function,
        and one that leaves the loop cancels it. When its container is lost the function runs
        again, and as many elements as were taken already are skipped.

        Returns
        -------
        Stream
            To be iterated once, with ``for``, or with ``async for``.

        Raises
        ------
        InvalidError
            If the function is no generator.

        Examples
        --------
        >>> for element in count.remote_gen(3):  # doctest: +SKIP
        ...     print(element)
        """
        if self._base.interface is not None:
            self._check_kind(streams=True)
        return Stream(self, args, kwargs)

    @remote_gen.aio
    def _remote_gen_aio(self, *args: Any, **kwargs: Any) -> Stream:
        """The same for ``async for``."""
        if self._base.interface is not None:
            self._check_kind(streams=True)
        return Stream(self, args, kwargs)

    # -- maps ------------------------------------------------------------------------------

    map = mapping.map_twin
    starmap = mapping.starmap_twin
    for_each = mapping.for_each_twin
    spawn_map = mapping.spawn_map_twin


tracebacks.hide_our_frames()
