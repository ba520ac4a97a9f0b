"""Sessions on what runs already: an engine of this user, a scheduler, or a cluster object."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from modalnb.cluster import rendezvous
from modalnb.cluster.session import Session, connect_client
from modalnb.configuration import config
from modalnb.exception import ConnectionError, ExecutionError, InvalidError

if TYPE_CHECKING:
    from modalnb.cluster.backends.base import Backend
    from modalnb.cluster.operator import Operator

#: A session asks so often whether it may operate the cluster, while another one does.
STAND_BY_SECONDS = 0.5
END_SECONDS = 20.0


def attach() -> Session:
    """Connect to an engine of this user that another process has started."""
    from distributed import Security

    facts = rendezvous.find()
    session = Session("attached")
    try:
        session.connect(facts["address"], Security(require_encryption=True, **facts["credentials"]))
    except BaseException:
        session.close()
        raise
    return session


def attach_address(address: str, security: Any) -> Session:
    """Connect to a scheduler whose workers somebody else starts; they are leased."""
    from distributed import Security

    from modalnb.cluster.backends.fixed import FixedBackend

    if security is not None and not isinstance(security, Security):
        raise InvalidError(f"`security` must be a distributed.Security; got {security!r}.")
    session = Session("fixed")
    try:
        _install_plane(session, address, security)
        session.connect(address, security)
        _operate(session, _Bare(session), FixedBackend(), security)
    except BaseException:
        session.close()
        raise
    return session


def attach_cluster(cluster: Any, cores: float | None, room: int | None) -> Session:
    """Connect to the scheduler of a SpecCluster and start containers as workers of it."""
    from distributed import LocalCluster

    from modalnb.cluster.backends.spec import UNKNOWN_ROOM, SpecBackend
    from modalnb.core.capacity import Capacity
    from modalnb.runtime.devices import DeviceReader

    _check_cluster(cluster)
    is_here = isinstance(cluster, LocalCluster)
    capacity = Capacity(
        cores=cores or _cores_of(cluster),
        containers=room or UNKNOWN_ROOM,
        is_elastic=bool(cluster.new_spec) and not is_here,
    )
    backend = SpecBackend(cluster, capacity=capacity)
    backend.reader = DeviceReader() if is_here else None
    session = Session("cluster")
    address, security = cluster.scheduler_address, cluster.security
    try:
        _install_plane(session, address, security)
        session.connect(address, security)
        _operate(session, cluster, backend, security)
    except BaseException:
        session.close()
        raise
    return session


def _check_cluster(cluster: Any) -> None:
    kind = type(cluster).__name__
    if not hasattr(cluster, "worker_spec"):
        raise ExecutionError(
            f"{kind} is not a SpecCluster, so single workers cannot be added. "
            "Connect to its scheduler address instead: its workers are then leased."
        )
    if cluster.status.name != "running":
        raise ExecutionError(f"The {kind} is {cluster.status.name}. Create another one.")
    if _is_this_loop(cluster.loop):
        raise ExecutionError(
            f"The {kind} lives on the event loop that `connect` would block. "
            "Call `await asyncio.to_thread(modalnb.connect, cluster=cluster)`."
        )


def _cores_of(cluster: Any) -> float | None:
    """Cores that containers share; None where the cluster can get ever more, as from a queue."""
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    if isinstance(cluster, LocalCluster):
        return float(CPU_COUNT)
    if cluster.new_spec:
        return None
    # A fixed set of hosts: their workers were given the cores that there are.
    workers = cluster.scheduler_info["workers"].values()
    return float(sum(worker["nthreads"] for worker in workers)) or None


def _install_plane(session: Session, address: str, security: Any) -> None:
    from modalnb.plane.scheduler_plugin import PlanePlugin
    from modalnb.runtime.worker_plugin import ContainerPlugin

    plugin = PlanePlugin(containers=ContainerPlugin(), keep_days=config.result_days)

    async def install() -> None:
        client = await connect_client(address, security)
        try:
            await client.register_plugin(plugin)
        finally:
            await client.close()

    try:
        session.line.run(install(), config.start_timeout)
    except ConnectionError:
        raise
    except ModuleNotFoundError as error:
        raise ConnectionError(
            f"The scheduler at {address} cannot import what modalnb needs: {error}. "
            "Install the same version of modalnb there and on its workers."
        ) from None
    except Exception as error:
        raise ConnectionError(
            f"The scheduler at {address} refused the plane ({type(error).__name__}: {error}). "
            "Install the same versions of modalnb and Dask there and here."
        ) from error


class _Bare:
    """Stands where a cluster would be when there is only an address."""

    def __init__(self, session: Session) -> None:
        from distributed.core import Status
        from tornado.ioloop import IOLoop

        async def current() -> IOLoop:
            return IOLoop.current()

        self.status = Status.running
        self.scheduler_comm = None
        self.loop: Any = session.line.run(current())


def _operate(session: Session, cluster: Any, backend: Backend, security: Any) -> None:
    """Run an operator on the cluster's loop; while another one does the work, stand by."""
    from modalnb.cluster.operator import Operator

    standing_by: set[asyncio.Task[None]] = set()

    async def begin() -> Operator:
        client = await connect_client(session.address, security)
        operator = Operator(cluster, backend, client)

        def stand_by() -> None:
            standing_by.add(asyncio.ensure_future(_take_office(operator)))

        operator.on_replaced = stand_by
        if not await operator.begin():
            stand_by()
        return operator

    operator = _on_loop(cluster.loop, begin(), config.start_timeout)

    async def end() -> None:
        for task in standing_by:
            task.cancel()
        await operator.close()
        await operator.client.close()

    def close() -> None:
        if not cluster.loop.asyncio_loop.is_running():
            return
        if _is_this_loop(cluster.loop):
            cluster.loop.add_callback(end)
            return
        with contextlib.suppress(Exception):
            _on_loop(cluster.loop, end(), END_SECONDS)

    session.on_close(close)


async def _take_office(operator: Operator) -> None:
    with contextlib.suppress(OSError):
        while not await operator.begin():  # noqa: ASYNC110  (the scheduler cannot call back)
            await asyncio.sleep(STAND_BY_SECONDS)


def _is_this_loop(loop: Any) -> bool:
    try:
        return asyncio.get_running_loop() is loop.asyncio_loop
    except RuntimeError:
        return False


def _on_loop(loop: Any, work: Coroutine[Any, Any, Any], timeout: float) -> Any:
    """Run a coroutine on a tornado loop of another thread and wait for it."""
    future = asyncio.run_coroutine_threadsafe(work, loop.asyncio_loop)
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        future.cancel()
        raise ConnectionError(f"The cluster did not answer for {timeout:g} s.") from None
