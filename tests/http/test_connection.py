"""Connections on real sockets, in this process: clients that do not read, read slowly, or do not speak HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.http.connection import FREE_CHUNKS, TURN_CHUNKS, Connection
from service.http.turns import Turns

MIB = 1024 * 1024
PIECES = 24  # MiB of an answer: more than both systems' buffers hold
SOON_S = 60  # for what happens at once, unless there is a bug
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """Answers with PIECES MiB of nothing. ``sent``: how many the server has taken; ``over``: how it ended."""

    def __init__(self) -> None:
        self.sent = 0
        self.begun = asyncio.Event()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            self.over.set_result("left")
            return
        leaving = asyncio.create_task(receive())
        length = str(PIECES * MIB).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        while self.sent < PIECES and not leaving.done():
            await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})
            self.sent += 1
            self.begun.set()
        self.over.set_result("left" if leaving.done() else "sent")
        leaving.cancel()
        await send({"type": "http.response.body"})


@asynccontextmanager
async def served(
    idle_s: float, protocol: type[Connection] = Connection, application: Any = None
) -> AsyncIterator[tuple[App, int]]:
    """The application and the port it is at."""
    app = application or App()
    kind = type("Protocol", (protocol,), {"idle_s": idle_s})
    config = uvicorn.Config(app, port=0, http=kind, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield app, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.force_exit = True
        await server.shutdown()


def connected(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(0)
    return client


async def read_all(client: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    loop, received = asyncio.get_running_loop(), bytearray()
    while piece := await loop.sock_recv(client, MIB):
        received += piece
    return bytes(received)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(SOON_S):
            await test()

    asyncio.run(within())


def test_a_client_that_takes_nothing_is_left() -> None:
    async def test() -> None:
        async with served(idle_s=0.05) as (app, port):
            with connected(port) as client:
                client.send(GET)
                assert await app.over == "left"
                assert app.sent < PIECES  # the work stopped for want of a reader
                assert len(await read_all(client)) < PIECES * MIB  # what the systems had taken, and then the end

    run(test)


def test_a_client_that_takes_a_little_now_and_then_gets_all() -> None:
    """It reads just before each look at what it has taken, and not at any other time."""

    async def test() -> None:
        received, looks = 0, 0

        class ReadOptions(Connection):
            def _num_untaken(self) -> int:
                nonlocal received, looks
                left, looks = MIB, looks + 1
                while left:
                    try:
                        piece = client.recv(left)
                    except BlockingIOError:
                        break
                    received, left = received + len(piece), left - len(piece)
                return super()._num_untaken()

        async with served(0.01, ReadOptions) as (app, port):
            with connected(port) as client:
                client.send(GET)
                assert await app.over == "sent"
                assert looks > 2
                while received < PIECES * MIB:
                    received += len(await asyncio.get_running_loop().sock_recv(client, MIB))

    run(test)


def test_a_head_that_does_not_come_or_drips_ends_the_connection() -> None:
    async def test() -> None:
        async with served(idle_s=0.05) as (_, port):
            for begun in (b"", b"GET / HTTP/1.1\r\nHo"):
                with connected(port) as client:
                    client.send(begun)
                    assert await read_all(client) == b""

    run(test)


def test_an_empty_line_before_a_request_is_ignored() -> None:
    async def test() -> None:
        async with served(idle_s=SOON_S) as (app, port):
            with connected(port) as client:
                client.send(b"\r\n")
                client.send(b"\r\n" + GET)
                await app.begun.wait()
                assert (await asyncio.get_running_loop().sock_recv(client, 15)) == b"HTTP/1.1 200 OK"

    run(test)


def test_an_offer_of_another_protocol_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with served(idle_s=SOON_S) as (app, port):
            with connected(port) as client:
                offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n"
                client.send(GET.removesuffix(b"\r\n") + offer)
                await app.begun.wait()

    run(test)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client that speaks TLS\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",  # two servers, two lengths
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000,  # and no end
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 300 + b"\r\n",
]


@pytest.mark.parametrize("sent", NO_HTTP, ids=lambda sent: sent[:40])
def test_what_is_no_http_is_a_problem_like_any_other(sent: bytes) -> None:
    async def test() -> None:
        async with served(idle_s=SOON_S) as (_, port):
            with connected(port) as client:
                client.send(sent)
                head, _, body = (await read_all(client)).partition(b"\r\n\r\n")
        status, *lines = head.decode().splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        problem = json.loads(body)
        assert status.split()[1] == "400"
        assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
        assert (problem["code"], problem["status"]) == ("malformed_request", 400)
        assert problem["request_id"] == headers["x-request-id"]
        assert int(headers["content-length"]) == len(body)

    run(test)


def test_no_http_behind_an_answer_that_has_begun_ends_the_connection() -> None:
    async def test() -> None:
        async with served(idle_s=SOON_S) as (app, port):
            with connected(port) as client:
                client.send(GET)
                await app.begun.wait()
                client.send(b"no HTTP\r\n\r\n")
                received = await read_all(client)
                assert received.startswith(b"HTTP/1.1 200")
                assert b"400" not in received[:100]

    run(test)


class Counted:
    """An application that counts the bytes of a body."""

    def __init__(self) -> None:
        self.num_bytes = 0
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            self.num_bytes += len(message["body"])
            self.begun.set()
            if not message["more_body"]:
                break
        self.over.set()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


class HeldTurns(Turns):
    """Turns that come when the test wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.pieces: list[Callable[[], None]] = []

    def wait(self, piece: Callable[[], None]) -> None:
        self.pieces.append(piece)
        self.asked.set()


def test_a_body_in_tiny_chunks_is_taken_apart_in_turns() -> None:
    """20 clients with 0.26 MB/s of them together made probes wait 7 s."""
    num_chunks = 2000
    body = b"1\r\nx\r\n" * num_chunks + b"0\r\n\r\n"

    async def test() -> None:
        app, turns = Counted(), HeldTurns()
        async with served(SOON_S, type("Held", (Connection,), {"turns": turns}), app) as (_, port):
            with connected(port) as client:
                head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                await asyncio.get_running_loop().sock_sendall(client, head + body)
                most = FREE_CHUNKS
                while app.num_bytes < num_chunks:
                    await turns.asked.wait()
                    assert app.num_bytes <= most  # whatever has come
                    turns.asked.clear()
                    most += TURN_CHUNKS + FREE_CHUNKS
                    [piece] = turns.pieces  # one at a time
                    turns.pieces.clear()
                    piece()
                    for _ in range(3):
                        await asyncio.sleep(0)  # the application takes it
                    if app.over.is_set():
                        break
                await app.over.wait()
                assert app.num_bytes == num_chunks
                assert (await asyncio.get_running_loop().sock_recv(client, 12)) == b"HTTP/1.1 204"

    run(test)


def test_chunks_of_a_usual_size_wait_for_nobody() -> None:
    async def test() -> None:
        app, turns = Counted(), HeldTurns()
        async with served(SOON_S, type("Held", (Connection,), {"turns": turns}), app) as (_, port):
            with connected(port) as client:
                head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                body = (b"1000\r\n" + bytes(4096) + b"\r\n") * 200 + b"0\r\n\r\n"
                await asyncio.get_running_loop().sock_sendall(client, head + body)
                await app.over.wait()
                assert (app.num_bytes, turns.pieces) == (200 * 4096, [])

    run(test)


def test_the_longest_idle_connection_is_ended_for_a_new_one() -> None:
    """290 idle connections and 256 descriptors: nobody got in any more, probes neither."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        begun = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
        app = Counted()
        async with served(SOON_S, type("Few", (Connection,), {"max_connections": 2}), app) as (_, port):
            with connected(port) as sending, connected(port) as idle:
                await loop.sock_sendall(sending, begun + b"12")  # the older one, but in the middle of a request
                await app.begun.wait()
                for _ in range(10):
                    with connected(port) as probe:
                        await loop.sock_sendall(probe, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        assert (await read_all(probe)).startswith(b"HTTP/1.1 204")
                assert (await loop.sock_recv(idle, 1)) == b""
                await loop.sock_sendall(sending, b"345")
                assert (await loop.sock_recv(sending, 12)) == b"HTTP/1.1 204"

    run(test)


def test_a_client_that_takes_next_to_nothing_is_left() -> None:
    """It takes a few bytes just before each look: with that, 64 clients held all places for months."""

    async def test() -> None:
        class Look(Connection):
            def _num_untaken(self) -> int:
                client.recv(10)
                return super()._num_untaken()

        async with served(0.05, Look) as (app, port):
            with connected(port) as client:
                client.send(GET)
                assert await app.over == "left"

    run(test)
