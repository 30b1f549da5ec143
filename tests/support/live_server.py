"""The application behind a real server on a real port, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI


@contextmanager
def live(app: FastAPI) -> Iterator[str]:
    """Host and port of the application, once it is ready."""
    ready = threading.Event()
    serve = app.state.readiness.serve

    def serving(what: Any) -> None:
        serve(what)
        ready.set()

    app.state.readiness.serve = serving
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ready.wait(60)
    while not server.started:
        pass
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
