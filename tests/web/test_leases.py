"""The book of leases: what it asks of the plane, and who gets what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from modalnb import tunnel
from modalnb.web import leases
from modalnb.web.leases import Lease, LeaseBook
from modalnb.web.replies import ProblemError
from modalnb.web.routes import Route
from modalnb.websettings import WebSettings

PLACE = {"host": "here", "path": "/socket", "address": None, "port": None}


class FakeStub:
    """Notes what is put and cancelled."""

    depot = None
    is_closed = False

    def __init__(self) -> None:
        self.inboxes: dict[str, Lease] = {}
        self.put: list[str] = []
        self.cancelled: list[str] = []
        self.answered = 0

    def open(self, call_id: str, inbox: Lease) -> None:
        self.inboxes[call_id] = inbox

    def close(self, call_id: str) -> None:
        self.inboxes.pop(call_id, None)

    def send(self, op: str, **fields: Any) -> None:
        (self.put if op == "modalnb-put" else self.cancelled).append(fields["call_id"])

    def ask(self, verb: str, *, pool_id: str, count: int) -> None:
        assert verb == "answered"
        self.answered += count


class FakeChannel:
    """A connection to a container, as far as the book uses it."""

    def __init__(self) -> None:
        self.is_closed = False
        self.written: list[int] = []

    def write(self, kind: int, payload: bytes = b"") -> None:
        self.written.append(kind)

    def close(self) -> None:
        self.is_closed = True


class World:
    """A book, its plane and its containers."""

    def __init__(self, *, single_use: bool = False) -> None:
        self.stub = FakeStub()
        self.by_secret: dict[bytes, Lease] = {}
        route = Route(
            app="a",
            name="web",
            pool_id="ap/web",
            method="serve",
            web=WebSettings(kind="asgi_app"),
            single_use=single_use,
        )
        stub: Any = self.stub
        self.book = LeaseBook(stub, "ap/web", route, PLACE, self.by_secret, lambda lines: None)

    def lease(self, number: int) -> Lease:
        return self.stub.inboxes[self.stub.put[number]]

    def take(self, number: int) -> FakeChannel:
        """A container takes up the input that was put as this one."""
        channel: Any = FakeChannel()
        self.book.on_take(self.lease(number), channel)
        return channel  # type: ignore[no-any-return]


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await work()

    asyncio.run(body())


def test_each_waiting_request_has_an_input() -> None:
    async def work() -> None:
        world = World()
        first, second = world.book.ask(), world.book.ask()
        assert len(world.stub.put) == 2
        world.take(1)
        assert (await first).channel is not None
        assert not second.done()

    run(work)


def test_lease_serves_the_next_request_without_the_plane() -> None:
    async def work() -> None:
        world = World()
        waiting = world.book.ask()
        world.take(0)
        lease = await waiting
        world.book.give_back(lease)
        assert world.book.take() is lease
        other = world.book.ask()
        world.book.give_back(lease)
        assert await other is lease
        assert len(world.stub.put) == 2

    run(work)


def test_input_that_no_request_waits_for_is_cancelled() -> None:
    async def work() -> None:
        world = World()
        first, second = world.book.ask(), world.book.ask()
        world.take(0)
        world.book.give_back(await first)
        await second
        await asyncio.sleep(3 * leases.SWEEP_SECONDS)
        assert world.stub.cancelled == world.stub.put[1:]
        assert len(world.by_secret) == 1

    run(work)


def test_unused_lease_is_released_and_counts_once() -> None:
    async def work() -> None:
        world = World()
        waiting = world.book.ask()
        channel = world.take(0)
        lease = await waiting
        for _ in range(5):
            world.book.give_back(lease)
            assert world.book.take() is lease
        world.book.give_back(lease)
        await asyncio.sleep(leases.KEEP_SECONDS + 5 * leases.SWEEP_SECONDS)
        assert channel.written == [tunnel.RELEASE]
        assert world.book.take() is None
        await asyncio.sleep(leases.REPORT_SECONDS)
        # The output of the lease counts as one, so five more were answered.
        assert world.stub.answered == 5

    run(work)


def test_slot_that_is_about_to_be_free_is_waited_for() -> None:
    async def work() -> None:
        world = World(single_use=True)
        waiting = world.book.ask()
        channel = world.take(0)
        lease = await waiting
        world.book.give_back(lease)
        assert channel.written == [tunnel.RELEASE]
        world.book.ask()
        assert len(world.stub.put) == 1
        lease.on_outputs([(0, "ok", b"")])
        assert len(world.stub.put) == 2

    run(work)


def test_lost_container_gives_the_request_to_the_next_one() -> None:
    async def work() -> None:
        world = World()
        waiting = world.book.ask()
        world.take(0).close()
        lease = await waiting
        world.book.lose(lease)
        again = world.book.ask(first=True)
        # The plane gives the same input to another container by itself.
        assert len(world.stub.put) == 1
        world.take(0)
        assert await again is lease

    run(work)


def test_refused_input_refuses_the_request_that_came_last() -> None:
    async def work() -> None:
        world = World()
        first, second = world.book.ask(), world.book.ask()
        world.lease(1).on_refused(0, "pending inputs", 2000, 2000)
        with pytest.raises(ProblemError) as refused:
            await second
        assert refused.value.status == 503
        assert refused.value.facts["limit"] == "pending inputs"
        assert not first.done()

    run(work)


@pytest.mark.parametrize(
    ("status", "payload", "code"),
    [
        ("timeout", None, 504),
        ("lost", ("container ta-1: killed",), 502),
        ("cancelled", None, 503),
        ("ok", b"", 502),
    ],
)
def test_input_without_a_container_fails_the_oldest_request(
    status: str, payload: Any, code: int
) -> None:
    async def work() -> None:
        world = World()
        first, second = world.book.ask(), world.book.ask()
        world.lease(1).on_outputs([(0, status, payload)])
        with pytest.raises(ProblemError) as failed:
            await first
        assert failed.value.status == code
        assert not second.done()
        assert len(world.stub.put) == 2

    run(work)


def test_unknown_function_fails_the_request() -> None:
    async def work() -> None:
        world = World()
        waiting = world.book.ask()
        world.lease(0).on_failed(RuntimeError("not registered"))
        with pytest.raises(ProblemError, match="not registered"):
            await waiting

    run(work)


def test_request_that_gives_up_hands_on_what_it_got() -> None:
    async def work() -> None:
        world = World()
        first, second = world.book.ask(), world.book.ask()
        world.take(0)
        world.book.forget(first)
        assert await second is await first
        world.book.forget(world.book.ask())
        assert set(world.stub.cancelled) == set(world.stub.put[1:])

    run(work)


def test_container_that_takes_over_an_ended_lease_is_released() -> None:
    async def work() -> None:
        world = World(single_use=True)
        waiting = world.book.ask()
        world.take(0)
        lease = await waiting
        world.book.give_back(lease)
        other: Any = FakeChannel()
        world.book.on_take(lease, other)
        assert other.written == [tunnel.RELEASE]

    run(work)
