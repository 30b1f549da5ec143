"""A real browser, the proxy that stands before a service in real life, and a page that is watched while it is used."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
# Playwright takes a fifth of a second to import: it is looked for here, and imported by the tests that use it.
needs_chromium = pytest.mark.skipif(CHROMIUM is None or find_spec("playwright") is None, reason="no Chromium or no Playwright")


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def http_server(handler: Any, host: str = "127.0.0.1") -> Iterator[int]:
    """The port of a server in a thread of this process."""
    with ThreadingHTTPServer((host, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def proxy_below(prefix: str, address: str) -> type[BaseHTTPRequestHandler]:
    """A reverse proxy that has the service below a path prefix, and passes on what stands behind it."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            if not self.path.startswith(prefix):
                self.send_error(404)
                return
            connection = HTTPConnection(address, timeout=60)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, self.path.removeprefix(prefix), body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Encoding", "Content-Security-Policy"):
                if answer.headers[name]:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    return Proxy
