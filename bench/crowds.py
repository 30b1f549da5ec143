"""Crowds of clients that cost little and ask for nothing useful, and how long a probe waits beside each of them.

`python -m bench.overload --crowds` runs them; as a program of its own this is one crowd, so that it shares no interpreter with
what is measured: python -m bench.crowds NAME PORT SECONDS, a video for `readers` on its standard input.
"""

from __future__ import annotations

import asyncio
import http.client
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

PROBE_EVERY_S = 0.02
ARRIVAL_S = 8.0  # until a crowd is there, and has what it asked for
AGAIN_S = 0.1  # before a client that was ended comes back
HEAD = b"POST /classify HTTP/1.1\r\nHost: crowd\r\nContent-Type: application/octet-stream\r\n"
Client = Callable[[int, bytes], Coroutine[None, None, None]]  # one connection to a port, until it ends; with a video


class Crowd(NamedTuple):
    """``size`` clients at once."""

    client: Client
    size: int
    what: str


class Probes:
    """GET /livez on a connection of its own, fifty times a second, while the context lasts."""

    def __init__(self, port: int) -> None:
        self._port, self._over = port, threading.Event()
        self.seconds: list[float] = []
        self.num_failed = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def told(self) -> str:
        """What came of them."""
        times = sorted(self.seconds)
        p50, p99, longest = (f"{1000 * times[min(int(len(times) * share), len(times) - 1)]:.1f} ms" for share in (0.5, 0.99, 1))
        return f"{len(times)} probes, {self.num_failed} failed: p50 {p50}, p99 {p99}, longest {longest}"

    def _run(self) -> None:
        while not self._over.wait(PROBE_EVERY_S):
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.request("GET", "/livez")
                self.num_failed += connection.getresponse().status != 200
            except (OSError, http.client.HTTPException):
                self.num_failed += 1
            finally:
                connection.close()
            self.seconds.append(time.monotonic() - began)


async def slow(port: int, _video: bytes) -> None:
    """A body of which a byte comes each second."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def chunked(port: int, _video: bytes) -> None:
    """A body in chunks of one byte, as fast as they are taken."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1\r\nx\r\n" * 1000)
        await writer.drain()


async def idle(port: int, _video: bytes) -> None:
    """A connection and nothing more."""
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    await reader.read()


async def readers(port: int, video: bytes) -> None:
    """An answer of a megabyte, of which 100 bytes are read each second."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(connection, ("127.0.0.1", port))
        head = HEAD.replace(b"/classify", b"/features?include=clips&layer=fc6,fc7,pool5")
        await loop.sock_sendall(connection, head + b"Content-Length: %d\r\n\r\n" % len(video) + video)
        while await loop.sock_recv(connection, 100):  # noqa: ASYNC110 (being slow is the point)
            await asyncio.sleep(1)
    finally:
        connection.close()


CROWDS = {
    "nobody": Crowd(idle, 0, "for comparison"),
    "slow": Crowd(slow, 200, "uploads of a byte a second"),
    "chunked": Crowd(chunked, 20, "uploads in chunks of one byte"),
    "idle": Crowd(idle, 1300, "connections without a byte"),
    "readers": Crowd(readers, 64, "readers of 100 bytes a second"),
}


@contextmanager
def beside(name: str, port: int, seconds: float, video: bytes) -> Iterator[None]:
    """The crowd is there while the context lasts, so many seconds at most."""
    command = [sys.executable, "-m", "bench.crowds", name, str(port), str(seconds + ARRIVAL_S)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 (it is a pipe)
        process.stdin.write(video)
        process.stdin.close()
        try:
            time.sleep(ARRIVAL_S if CROWDS[name].size else 0)
            yield
        finally:
            process.terminate()


async def _stay(name: str, port: int, seconds: float, video: bytes) -> None:
    """All of them; who is ended comes again."""

    async def one() -> None:
        while True:
            with suppress(OSError):
                await CROWDS[name].client(port, video)
            await asyncio.sleep(AGAIN_S)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(one() for _ in range(CROWDS[name].size)))


def main() -> None:
    """One crowd."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    name, port, seconds = sys.argv[1:]
    asyncio.run(_stay(name, int(port), float(seconds), sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
