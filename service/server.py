"""uvicorn as we need it: h11, one worker, draining before it stops."""

from __future__ import annotations

import logging
import signal

import uvicorn

from service.app import create_app
from service.settings import Settings

log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve until a signal ends it. Returns the process's exit status: 1 where the start was refused.

    One worker whatever WEB_CONCURRENCY says: one network to a device, more is replicas. h11, because httptools takes
    header blocks of 20 MB.
    """
    refusals: list[str] = []

    def refuse(reason: str) -> None:
        log.error("%s", reason)
        refusals.append(reason)
        server.should_exit = True

    app = create_app(settings, on_refusal=refuse)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        workers=1,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )
    server = uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # once it has stopped, uvicorn raises again what it caught: we ended as told
    server.run()
    return 1 if refusals or not server.started else 0
