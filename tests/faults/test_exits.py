"""User code that ends its process: its input is told how, the others of the map come back."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import modalnb
from modalnb.exception import ContainerLostError

POISON = 4
COUNT = 10
SLACK = 32 * 2**20


def _die(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


#: What the error says of each way to die.
STORIES = {
    "kill": "killed by signal SIGKILL",
    "exit": "ended with exit status 3",
    "segfault": "killed by signal SIGSEGV",
    "abort": "killed by signal SIGABRT",
}


@pytest.mark.parametrize("how", STORIES)
def test_input_that_ends_its_process_is_given_up_and_takes_nobody_along(
    app: modalnb.App, how: str
) -> None:
    @app.function(max_containers=1)
    def work(n: int) -> int:
        if n == POISON:
            _die(how)
        return n

    results = list(work.map(range(COUNT), return_exceptions=True))
    error = results.pop(POISON)
    assert results == [n for n in range(COUNT) if n != POISON]
    assert isinstance(error, ContainerLostError)
    assert len(error.losses) == 8
    assert all(STORIES[how] in loss for loss in error.losses)
    assert work.remote(1) == 1


async def _poisoned_task(n: int) -> int:
    await asyncio.sleep(0)
    if n == POISON:
        os._exit(3)
    return n


def _poisoned_thread(n: int) -> int:
    if n == POISON:
        os._exit(3)
    return n


def _poisoned_batch(ns: list[int]) -> list[int]:
    if POISON in ns:
        os._exit(3)
    return ns


KINDS: dict[str, Any] = {
    "tasks": modalnb.concurrent(max_inputs=4)(_poisoned_task),
    "threads": modalnb.concurrent(max_inputs=4)(_poisoned_thread),
    "batches": modalnb.batched(max_batch_size=4, wait_ms=0)(_poisoned_batch),
}


@pytest.mark.parametrize("kind", KINDS)
def test_input_that_ends_a_process_shared_with_others_is_found_out(
    app: modalnb.App, kind: str
) -> None:
    work = app.function(max_containers=1)(KINDS[kind])
    results = list(work.map(range(COUNT), return_exceptions=True))
    error = results.pop(POISON)
    assert results == [n for n in range(COUNT) if n != POISON]
    assert isinstance(error, ContainerLostError)
    assert work.remote(1) == 1


def test_generator_that_ends_its_process_is_told_after_what_it_yielded(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def count(stop: int) -> Iterator[int]:
        for n in range(10):
            if n == stop:
                os._exit(3)
            yield n

    seen: list[int] = []
    with pytest.raises(ContainerLostError, match="exit status 3"):
        seen.extend(count.remote_gen(3))
    assert seen == [0, 1, 2][: len(seen)]
    assert list(count.remote_gen(-1)) == list(range(10))


def _exit_plainly(n: int) -> int:
    return sys.exit(n) if n else os.getpid()


async def _exit_in_a_task(n: int) -> int:
    return _exit_plainly(n)


def _exit_in_a_batch(ns: list[int]) -> list[int]:
    return [_exit_plainly(n) for n in ns]


LEAVERS: dict[str, Any] = {
    "alone": _exit_plainly,
    "threads": modalnb.concurrent(max_inputs=4)(_exit_plainly),
    "tasks": modalnb.concurrent(max_inputs=4)(_exit_in_a_task),
    "batches": modalnb.batched(max_batch_size=4, wait_ms=0)(_exit_in_a_batch),
}


@pytest.mark.parametrize("kind", LEAVERS)
def test_sys_exit_ends_the_input_and_not_the_container(app: modalnb.App, kind: str) -> None:
    work = app.function(max_containers=1)(LEAVERS[kind])
    container = work.remote(0)
    with pytest.raises(SystemExit) as caught:
        work.remote(3)
    assert caught.value.code == 3
    assert work.remote(0) == container


def test_sys_exit_in_a_task_of_the_users_own_ends_the_container_with_its_status(
    app: modalnb.App,
) -> None:
    """Nobody awaits that task, so asyncio hands the exit to the whole loop."""

    @app.function(max_containers=1)
    async def work(n: int) -> int:
        async def leave() -> None:
            sys.exit(n)

        if n:
            task = asyncio.create_task(leave())
            await asyncio.sleep(60)
            await task
        return n

    with pytest.raises(ContainerLostError, match="exit status 5"):
        work.remote(5)
    assert work.remote(0) == 0


def test_allocation_that_fails_is_the_functions_own_memory_error(app: modalnb.App) -> None:
    @app.function(max_containers=1)
    def allocate(n: int) -> int:
        return os.getpid() if not n else len(bytearray(n))

    container = allocate.remote(0)
    with pytest.raises(MemoryError):
        allocate.remote(2**62)
    assert allocate.remote(0) == container


@pytest.mark.parametrize("blocks", ["large", "small"])
def test_container_without_any_memory_left_says_so_and_is_replaced(
    app: modalnb.App, blocks: str
) -> None:
    """What the function keeps stays allocated, so there may be no room even for its error."""

    @app.function(max_containers=1, timeout=60)
    def fill() -> None:
        kept: list[Any] = []
        globals()["kept"] = kept
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + SLACK, resource.RLIM_INFINITY))
        while True:
            kept.append(bytearray(2**20) if blocks == "large" else [0] * 10)

    @app.function(max_containers=1)
    def work(n: int) -> int:
        return n

    with pytest.raises((MemoryError, ContainerLostError)) as caught:
        fill.remote()
    assert "MemoryError" in repr(caught.value)
    assert work.remote(1) == 1
