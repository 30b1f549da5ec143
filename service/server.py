"""uvicorn as we need it: the port bound first, h11, one worker, draining before it stops."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import re
import resource
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from service.app import create_app
from service.http.connection import Connection
from service.lifecycle.loading import LoadNetwork, load_network
from service.lifecycle.readiness import Readiness, Serving
from service.lifecycle.supervisor import WORKER_TIMEOUT_S
from service.settings import Settings
from service.video import sandbox

log = logging.getLogger(__name__)

HERE = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1"})  # noqa: S104 (addresses that people call localhost)
ACCEPTED_AT_ONCE = 128  # connections, in 15 ms, before asyncio does what else there is to do
BACKLOG = 1024  # that wait to be accepted. One too many is tried again by its client's system after 1 s, a probe too
MAX_CONNECTIONS = 1024
MAX_DESCRIPTORS = 65536  # that the limit is raised to, where that is allowed


class Server(uvicorn.Server):
    """Drains before it stops: /readyz says so, the service goes on for a while, then takes no more and finishes what runs."""

    def __init__(self, config: uvicorn.Config, drain_delay_s: float, readiness: Readiness) -> None:
        super().__init__(config)
        self._drain_delay_s, self._readiness = drain_delay_s, readiness
        self._draining = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections. asyncio has one number for how many may wait and how many it accepts at once; ours are two."""
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM begins the drain; the next signal ends its delay, a third one the drain.

        Ctrl-C comes from a person, and before the service is ready no load balancer sends requests: neither has a delay.
        """
        if self._draining or not self.started:
            self.force_exit = self.should_exit
            super().handle_exit(sig, frame)
            return
        self._draining = True
        delay_s = self._drain_delay_s if sig == signal.SIGTERM and self._readiness.is_ready() else 0
        self._readiness.drain()
        if delay_s:
            log.info("draining: /readyz answers 503; requests are still served for %g s", delay_s)
            asyncio.get_running_loop().call_later(delay_s, super().handle_exit, sig, frame)
        else:
            log.info("stopping: running requests may finish")
            super().handle_exit(sig, frame)


def serve(
    settings: Settings,
    load: LoadNetwork = load_network,
    worker_timeout_s: float = WORKER_TIMEOUT_S,
    started: float | None = None,
) -> int:
    """Serve until a signal ends it. Returns the process's exit status: 1 where the start was refused.

    ``started``: when the process began, by time.monotonic(). One worker whatever WEB_CONCURRENCY says: one network to a device,
    more is replicas. h11, because httptools takes header blocks of 20 MB.
    """
    started = time.monotonic() if started is None else started
    sandbox.hide()
    try:
        listener = _bound(settings.host, settings.port)
    except OSError as error:
        log.error("%s", _why_not_bound(error, settings))  # noqa: TRY400 (the sentence says all)
        return 1
    url = _url(settings.host, listener.getsockname()[1])
    refused: list[str] = []

    def refuse(reason: str) -> None:
        log.error("%s", reason)
        refused.append(reason)
        server.should_exit = True

    def ready(serving: Serving) -> None:
        settle(app.openapi)
        for warning in serving.warnings():
            log.warning("%s", warning.message)
        log.info("Ready in %.0f s: %s  (%s)", time.monotonic() - started, url, _about(serving))

    app = create_app(settings, load, refuse, ready, worker_timeout_s=worker_timeout_s)
    server = Server(_config(app, settings), settings.drain_delay_s, app.state.readiness)
    # uvicorn handles signals while it runs, and raises them again afterwards: then they must not end the process again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    log.info("running on %s", url)
    server.run(sockets=[listener])
    return 1 if refused or not server.started else 0


def settle(openapi: Callable[[], object]) -> None:
    """Do now, while nobody waits, what would otherwise hold up the event loop during somebody's request.

    The OpenAPI document is built when it is first asked for, which takes 0.1 s. Python's garbage collector goes through all
    objects from time to time, 400,000 with TensorFlow, which takes 0.26 s. It leaves out those that are here now: they stay.
    """
    openapi()
    gc.collect()
    gc.freeze()


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(settings.upload_idle_s),
        backlog=ACCEPTED_AT_ONCE,
        ws="none",
        workers=1,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout_s,
        timeout_keep_alive=settings.keep_alive_s,
    )


def _protocol(idle_s: float) -> type[Connection]:
    """What speaks with clients. A quarter of the descriptors is for connections, the rest for files, decoders and fetches."""
    max_connections = min(MAX_CONNECTIONS, _raised_descriptor_limit() // 4)
    return type("Protocol", (Connection,), {"idle_s": idle_s, "max_connections": max_connections})


def _raised_descriptor_limit() -> int:
    """How many descriptors this process may have: as many as the system lets it without more privileges."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens. ``::`` serves IPv4 too. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")


def _why_not_bound(error: OSError, settings: Settings) -> str:
    where = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        other = settings.port % 65535 + 1
        return f"Another program listens on {where}. Choose another port, for example: C3D_PORT={other} make serve"
    if error.errno == errno.EACCES:
        return f"This user may not listen on {where}. Choose a port from 1024 on, for example: C3D_PORT=8000 make serve"
    return f"The service cannot listen on {where}: {error.strerror or error}. Set C3D_HOST to an address of this machine."


def _url(host: str, port: int) -> str:
    name = "localhost" if host in HERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def _about(serving: Serving) -> str:
    """`sports1m, float32, tensorflow on cpu`."""
    return f"{serving.model['name']}, {serving.model['precision']}, {re.sub(r' [^ ]+ on ', ' on ', serving.model['backend'])}"
