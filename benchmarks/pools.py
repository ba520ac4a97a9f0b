"""The peers under one interface: a pool of two processes that runs one function."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psutil

MODALNB = "modalnb"
EXECUTOR = "ProcessPoolExecutor"
MP_POOL = "multiprocessing.Pool"
LOKY = "loky"
JOBLIB = "joblib"
DASK = "Dask"
ALL = (MODALNB, EXECUTOR, MP_POOL, LOKY, JOBLIB, DASK)

WORKERS = 2
READY_SECONDS = 60.0

Gather = Callable[[], list[Any]]


class Pool(Protocol):
    """Two processes and one function; each input travels on its own."""

    def call(self, value: Any) -> Any:
        """Run one input and wait for it."""

    def map(self, values: Iterable[Any]) -> list[Any]:
        """Run many inputs; results in order."""

    def hand_in(self, values: Iterable[Any]) -> Gather:
        """Queue many inputs; what is returned waits for the results."""

    def containers(self) -> list[psutil.Process]:
        """The processes that run the function."""

    def others(self) -> list[psutil.Process]:
        """Further processes that the pool needs, this one excepted."""


@contextmanager
def open_pool(peer: str, function: Callable[..., Any], **options: Any) -> Iterator[Any]:
    """A pool of a peer (a :class:`Pool`, and what is its own), closed in the end."""
    pool: Any = _KINDS[peer](function, **options)
    try:
        yield pool
    finally:
        pool.close()


class Modalnb:
    """This engine; `workers` containers are kept, so that all peers are equally warm.

    `declared` are further settings of the function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        workers: int = WORKERS,
        wait: bool = True,
        **declared: Any,
    ) -> None:
        import modalnb

        self._app = modalnb.App("benchmark")
        self.function = self._app.function(
            min_containers=workers,
            max_containers=workers,
            scaledown_window=600,
            cpu=0.1,
            **declared,
        )(function)
        if wait:
            self.function.hydrate()
            self.wait_ready(workers)

    def wait_ready(self, count: int) -> None:
        """Wait until so many containers are idle."""
        deadline = time.monotonic() + READY_SECONDS
        while self.function.snapshot().count("idle") < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {count} idle containers: {self.function.snapshot()}")
            time.sleep(0.01)

    def call(self, value: Any) -> Any:
        return self.function.remote(value)

    def map(self, values: Iterable[Any]) -> list[Any]:
        return list(self.function.map(values))

    def hand_in(self, values: Iterable[Any]) -> Gather:
        call = self.function.spawn_map(values)
        return lambda: list(call.iter())

    def containers(self) -> list[psutil.Process]:
        pids = [c.pid for c in self.function.snapshot().containers]
        return [psutil.Process(pid) for pid in pids if pid is not None]

    @property
    def engine(self) -> psutil.Process:
        """The process of the engine itself."""
        from modalnb.api import current

        return psutil.Process(current.session().engine.pid)

    def others(self) -> list[psutil.Process]:
        pids = {container.pid for container in self.containers()}
        family = [self.engine, *self.engine.children(recursive=True)]
        return [process for process in family if process.pid not in pids]

    def close(self) -> None:
        from modalnb.api import current

        current.close()


class _Children:
    """A pool whose processes are children of this one."""

    def containers(self) -> list[psutil.Process]:
        children = psutil.Process().children(recursive=True)
        return [c for c in children if not _is_tracker(c)]

    def others(self) -> list[psutil.Process]:
        return [c for c in psutil.Process().children(recursive=True) if _is_tracker(c)]


def _is_tracker(process: psutil.Process) -> bool:
    """Whether it only looks after semaphores and files of the others."""
    return any("resource_tracker" in part for part in process.cmdline())


class _Executor(_Children):
    """What `concurrent.futures` and loky have in common."""

    _executor: Any
    _function: Callable[..., Any]

    def call(self, value: Any) -> Any:
        return self._executor.submit(self._function, value).result()

    def map(self, values: Iterable[Any]) -> list[Any]:
        return list(self._executor.map(self._function, values, chunksize=1))

    def hand_in(self, values: Iterable[Any]) -> Gather:
        futures = [self._executor.submit(self._function, value) for value in values]
        return lambda: [future.result() for future in futures]


class ProcessPool(_Executor):
    """The standard library's executor."""

    def __init__(self, function: Callable[..., Any]) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self._function = function
        self._executor = ProcessPoolExecutor(WORKERS)

    def close(self) -> None:
        self._executor.shutdown()


class Loky(_Executor):
    """joblib's executor on its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        from loky import ProcessPoolExecutor

        self._function = function
        self._executor = ProcessPoolExecutor(WORKERS)

    def close(self) -> None:
        self._executor.shutdown(kill_workers=True)


class MpPool(_Children):
    """The standard library's older pool."""

    def __init__(self, function: Callable[..., Any]) -> None:
        import multiprocessing

        self._function = function
        self._pool = multiprocessing.Pool(WORKERS)

    def call(self, value: Any) -> Any:
        return self._pool.apply(self._function, (value,))

    def map(self, values: Iterable[Any]) -> list[Any]:
        return list(self._pool.imap(self._function, values, chunksize=1))

    def hand_in(self, values: Iterable[Any]) -> Gather:
        result = self._pool.map_async(self._function, list(values), chunksize=1)
        return result.get

    def close(self) -> None:
        self._pool.terminate()


class Joblib(_Children):
    """joblib with its workers kept, each input a batch of its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        from joblib import Parallel, delayed

        self._function = delayed(function)
        self._parallel = Parallel(n_jobs=WORKERS, batch_size=1)
        self._parallel.__enter__()

    def call(self, value: Any) -> Any:
        return self._parallel([self._function(value)])[0]

    def map(self, values: Iterable[Any]) -> list[Any]:
        return list(self._parallel(self._function(value) for value in values))

    def hand_in(self, values: Iterable[Any]) -> Gather:
        raise NotImplementedError("joblib hands nothing in: its calls block")

    def close(self) -> None:
        self._parallel.__exit__(None, None, None)


class Dask(_Children):
    """A LocalCluster as a notebook would make it: two workers of one thread."""

    def __init__(self, function: Callable[..., Any], workers: int = WORKERS) -> None:
        from distributed import Client, LocalCluster

        warnings.simplefilter("ignore")
        self._function = function
        self.cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        )
        self.client = Client(self.cluster)

    def call(self, value: Any) -> Any:
        return self.client.submit(self._function, value, pure=False).result()

    def map(self, values: Iterable[Any]) -> list[Any]:
        return list(self.hand_in(values)())

    def hand_in(self, values: Iterable[Any]) -> Gather:
        futures = self.client.map(self._function, list(values), pure=False)
        return lambda: self.client.gather(futures)

    def close(self) -> None:
        self.client.close()
        self.cluster.close()


_KINDS: dict[str, Callable[..., Any]] = {
    MODALNB: Modalnb,
    EXECUTOR: ProcessPool,
    MP_POOL: MpPool,
    LOKY: Loky,
    JOBLIB: Joblib,
    DASK: Dask,
}
