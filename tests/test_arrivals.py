"""Many connections that come at once keep nobody waiting: they are in the system's queue until it is their turn."""

from __future__ import annotations

import asyncio
import select
import socket
from contextlib import ExitStack

import uvicorn
from starlette.responses import Response

from service.lifecycle.readiness import Readiness
from service.server import ACCEPTED_AT_ONCE, BACKLOG, Server

MANY = 300
AT_ONCE_S = 0.5  # the system would try again after one second


async def arrived(port: int) -> int:
    """How many of many connections are made while the event loop, which this holds up, accepts none."""
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(MANY)]
        for client in clients:
            client.setblocking(False)  # noqa: FBT003 (its only parameter)
            client.connect_ex(("127.0.0.1", port))
        poll = select.poll()
        for client in clients:
            poll.register(client, select.POLLOUT)
        return len([event for _, event in poll.poll(AT_ONCE_S * 1000) if not event & select.POLLERR])


def test_none_of_many_is_told_to_come_again() -> None:
    assert ACCEPTED_AT_ONCE < MANY < BACKLOG
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Response(), lifespan="off", log_config=None, backlog=ACCEPTED_AT_ONCE)
    server = Server(config, 0, Readiness())

    async def run() -> int:
        if not config.loaded:
            config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        try:
            return await arrived(listener.getsockname()[1])
        finally:
            await server.shutdown([listener])

    assert asyncio.run(run()) == MANY
