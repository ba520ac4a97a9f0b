"""What clients see when containers die, drain or cannot start, and when the gateway ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

import modalnb
from modalnb.api import current
from modalnb.api.function import Function
from modalnb.api.waiting import ask
from tests.web.conftest import Url

Wait = Callable[..., None]


@pytest.fixture
def fragile(site: modalnb.App, client: httpx.Client, url: Url) -> Function:
    """A function with a container that is up and has nothing to do."""
    client.get(url("fragile"))
    return site.registered_functions["fragile"]


def _aside(client: httpx.Client, method: str, address: str) -> Future[httpx.Response]:
    """A request on a thread of its own."""
    future: Future[httpx.Response] = Future()

    def work() -> None:
        try:
            future.set_result(client.request(method, address))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work).start()
    return future


def _kill_busy(function: Function, wait_until: Wait) -> int:
    """Kill the container that works; returns its process."""
    wait_until(lambda: any(c.state == "busy" for c in function.snapshot().containers))
    (pid,) = [c.pid for c in function.snapshot().containers if c.state == "busy"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def test_safe_request_goes_to_another_container(
    client: httpx.Client, url: Url, fragile: Function, wait_until: Wait
) -> None:
    answer = _aside(client, "GET", url("fragile/late?1"))
    killed = _kill_busy(fragile, wait_until)
    assert answer.result(20).status_code == 200
    assert answer.result().text != str(killed)


def test_request_that_may_have_done_something_is_a_502(
    client: httpx.Client, url: Url, fragile: Function, wait_until: Wait
) -> None:
    answer = _aside(client, "POST", url("fragile/late?30"))
    _kill_busy(fragile, wait_until)
    assert answer.result(20).status_code == 502
    assert answer.result().json()["detail"] == (
        "`fragile` lost its container while it answered. Try again."
    )


def test_response_that_has_begun_breaks_off(
    client: httpx.Client, url: Url, fragile: Function
) -> None:
    def read() -> None:
        with client.stream("GET", url("fragile/begun?30")) as answer:
            for piece in answer.iter_bytes():
                os.kill(int(piece), signal.SIGKILL)

    with pytest.raises(httpx.RemoteProtocolError):
        read()


def test_websocket_is_told_that_its_container_is_gone(url: Url, fragile: Function) -> None:
    address = url("fragile").replace("http", "ws", 1)
    with connect(address, proxy=None) as socket:
        os.kill(int(socket.recv(timeout=10)), signal.SIGKILL)
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_draining_container_finishes_what_it_serves(
    client: httpx.Client, url: Url, fragile: Function, wait_until: Wait
) -> None:
    with client.stream("GET", url("fragile/begun?1")) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        (busy,) = [c for c in fragile.snapshot().containers if c.state == "busy"]
        ask(current.stub(), "drain", container_ids=[busy.container_id])
        # Beside it, others are served elsewhere.
        assert client.get(url("fragile")).text != first.decode()
        assert b"".join(pieces) == first
    wait_until(
        lambda: busy.container_id not in {c.container_id for c in fragile.snapshot().containers}
    )


def test_requests_beyond_the_slots_wait_in_line(
    url: Url, fragile: Function, wait_until: Wait
) -> None:
    """Two containers with two slots each have four requests at a time."""
    with ThreadPoolExecutor(10) as threads, httpx.Client(timeout=60) as client:
        answers = [threads.submit(client.get, url("fragile/late?0.5")) for _ in range(10)]
        wait_until(lambda: fragile.snapshot().running == 4 and fragile.snapshot().pending)
        assert fragile.snapshot().running <= 4
        assert {answer.result().status_code for answer in answers} == {200}


def test_waiting_client_that_leaves_gives_up_its_place(
    client: httpx.Client, url: Url, fragile: Function, wait_until: Wait
) -> None:
    address = url("fragile").replace("http", "ws", 1)
    with ExitStack() as stack:
        # They hold all four slots for as long as they are open.
        for _ in range(4):
            stack.enter_context(connect(address, proxy=None))
        with pytest.raises(httpx.ReadTimeout):
            client.get(url("fragile"), timeout=0.5)
        wait_until(lambda: fragile.snapshot().pending == 0)
        assert fragile.snapshot().running == 4


def test_app_that_cannot_be_built_says_why(client: httpx.Client, url: Url) -> None:
    answer = client.get(url("broken"), timeout=60)
    assert answer.status_code == 500
    assert "RuntimeError: cannot be built" in answer.json()["detail"]


def test_gateway_that_died_is_replaced(client: httpx.Client, url: Url, wait_until: Wait) -> None:
    process = current.session().gateway._process
    before = url("fragile")
    process.kill()
    process.wait()
    wait_until(lambda: url("fragile") != before)
    assert client.get(url("fragile")).status_code == 200
