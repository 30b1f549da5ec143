"""A web server on this machine that serves files the way bad ones do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class File:
    """One file and how it is served."""

    content: bytes
    type: str = "application/octet-stream"
    ranges: bool = True  # whether Range is honoured
    etag: str | None = '"v1"'
    length: bool = True  # whether Content-Length is sent
    break_at: list[int] = field(default_factory=list)  # for each answer in turn: after how many bytes the connection ends


@dataclass
class Server:
    """``files`` by path; ``asked``: (path with query, Range header) of each request so far."""

    address: str
    files: dict[str, File | Callable[[Request], None]]
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        """Where a path is."""
        return self.address + path


class Request(BaseHTTPRequestHandler):
    """One request, answered from ``served``."""

    protocol_version = "HTTP/1.1"
    served: Server

    def do_GET(self) -> None:
        """Answer as the file says."""
        self.served.asked.append((self.path, self.headers["Range"]))
        self.close_connection = True
        file = self.served.files.get(urlsplit(self.path).path)
        if file is None:
            self.send_error(404)
        elif isinstance(file, File):
            self.serve(file)
        else:
            file(self)

    def serve(self, file: File) -> None:
        """Send a file, or the part of it that is asked for, or less."""
        begin, total = self._begin(file), len(file.content)
        if begin >= total > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", file.type)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if file.length:
            self.send_header("Content-Length", str(total - begin))
        if file.etag:
            self.send_header("ETag", file.etag)
        self.end_headers()
        end = begin + file.break_at.pop(0) if file.break_at else total
        self.wfile.write(file.content[begin:end])

    def _begin(self, file: File) -> int:
        if not file.ranges or not self.headers["Range"] or self.headers["If-Range"] not in {None, file.etag}:
            return 0
        return int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""


@contextmanager
def serve(files: dict[str, File | Callable[[Request], None]]) -> Iterator[Server]:
    """Serve the files until the block ends."""
    server = Server("", files)
    handler = type("Served", (Request,), {"served": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
