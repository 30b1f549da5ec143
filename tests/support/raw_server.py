"""A server on this machine that answers with whatever bytes it is told to, and sees whether the client hangs up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
WAIT_S = 10  # for what happens at once, unless there is a bug


@dataclass
class RawServer:
    """``requests``: the head of each request so far. ``connected`` is set by the first connection."""

    answers: Mapping[str, Answer]
    port: int = 0
    requests: list[str] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, its answer, and then nothing until the client ends the connection."""
        task = asyncio.current_task()
        assert task
        self.open.add(task)
        self.connected.set()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            answer = self.answers[head.split()[1]]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # gone, which is as good an end as any
        finally:
            writer.close()
            self.open.discard(task)


@asynccontextmanager
async def serving(
    answers: Mapping[str, Answer], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serve the answers by path. At the end no client may still hold a connection."""
    served = RawServer(answers)
    server = await asyncio.start_server(served.serve, host, 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        async with asyncio.timeout(WAIT_S):
            while served.open:
                await asyncio.wait(served.open)


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """An answer as bytes: ``content_length`` is Content-Length, and is right unless given; None leaves it out."""
    given = {"content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def endless(head: bytes, piece: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """An answer that begins and never ends."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:  # until the client ends the connection
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return write


async def ended(writer: asyncio.StreamWriter) -> None:
    """An answer that ends with its connection, as in HTTP/1.0."""
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nthe whole file")
    writer.write_eof()
