"""uvicorn as we need it: h11, one worker, draining before it stops."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from service.app import create_app
from service.http.connection import Connection
from service.lifecycle.loading import LoadNetwork, load_network
from service.lifecycle.supervisor import WORKER_TIMEOUT_S
from service.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 2048  # connections that wait to be accepted, as uvicorn has it


class Server(uvicorn.Server):
    """Drains: told to stop, it first says so on /readyz and goes on serving, then takes no more and lets what runs finish."""

    def __init__(self, config: uvicorn.Config, drain_delay_s: float, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain_delay_s, self._on_drain = drain_delay_s, on_drain
        self._told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the drain, a second one ends its delay, a third one the drain."""
        if self._told or not self.started:
            self.force_exit = self.should_exit
            super().handle_exit(sig, frame)
            return
        self._told = True
        self._on_drain()
        log.info("draining: /readyz is 503, requests are served for %g s more", self._drain_delay_s)
        asyncio.get_running_loop().call_later(self._drain_delay_s, super().handle_exit, sig, frame)


def _sockets(settings: Settings) -> list[socket.socket] | None:
    """For ``::`` a socket that serves IPv4 too, which asyncio's own would not; else None: uvicorn makes its own."""
    if settings.host != "::":
        return None
    return [socket.create_server(("::", settings.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)]


def serve(settings: Settings, load: LoadNetwork = load_network, worker_timeout_s: float = WORKER_TIMEOUT_S) -> int:
    """Serve until a signal ends it. Returns the process's exit status: 1 where the start was refused.

    One worker whatever WEB_CONCURRENCY says: one network to a device, more is replicas. h11, because httptools takes
    header blocks of 20 MB.
    """
    refusals: list[str] = []

    def refuse(reason: str) -> None:
        log.error("%s", reason)
        refusals.append(reason)
        server.should_exit = True

    app = create_app(settings, load, refuse, worker_timeout_s=worker_timeout_s)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=type("Protocol", (Connection,), {"idle_s": settings.upload_idle_s}),
        ws="none",
        workers=1,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout_s,
        timeout_keep_alive=settings.keep_alive_s,
    )
    server = Server(config, settings.drain_delay_s, app.state.readiness.drain)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # once it has stopped, uvicorn raises again what it caught: we ended as told
    server.run(_sockets(settings))
    return 1 if refusals or not server.started else 0
