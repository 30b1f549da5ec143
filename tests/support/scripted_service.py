"""A service that answers as a test says: a real HTTP server in threads of this process, with NDJSON as the service writes it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

MODEL = {"name": "sports1m", "weights": "sports1m", "weights_sha256": "ab" * 32, "preprocessing": "c3d-sports1m", "mean": "m"}
RUN = {"precision": "float32", "backend": "fake 1.0 on cpu", "version": "0.1.0"}
WIDTH = 8
# What /classify says; the second label holds what WebVTT and terminals must not take for markup.
LABELS = [{"label": "bowling", "class_id": 7, "score": 0.75}, {"label": "[rock] & <roll>", "class_id": 9, "score": 0.125}]

Answer = Callable[["Handler"], None]


def rows(body: bytes, num_clips: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vectors that this service gives a video, float32 (num_clips, 8)."""
    seed = int.from_bytes(body[:8].ljust(8, b"."), "little")
    return np.random.default_rng(seed).random((num_clips, WIDTH), np.float32)


class Handler(BaseHTTPRequestHandler):
    """One request; the server's script says what comes next, else all goes well."""

    server: ScriptedService
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer_json(200, self.server.info)

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.asked.append((self.body, {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}))
            script = self.server.script
            answer = script.pop(0) if script else well
        answer(self)

    def answer_json(self, status: int, content: Any, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def line(self, kind: str, **content: Any) -> None:
        data = json.dumps({"type": kind, **content}).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def clips(self, count: int) -> None:
        video = {"sha256": "cd" * 32, "duration_sec": 2.0}
        self.line("video", id="an-id", num_clips=count, model=MODEL | RUN | self.server.model, video=video, warnings=[])
        for index, row in enumerate(rows(self.body, self.server.num_clips)[:count]):
            span = {
                "start_frame": index * 16,
                "end_frame": index * 16 + 16,
                "start_sec": index * 0.5,
                "end_sec": index * 0.5 + 0.5,
            }
            given = (
                self.labels(index)
                if self.path.startswith("/classify")
                else {"descriptor": base64.b64encode(row.tobytes()).decode()}
            )
            self.line("clip", index=index, id=f"clip-{index}", **span, **given, progress=(index + 1) / count)

    def summary(self) -> None:
        mean = rows(self.body, self.server.num_clips).mean(axis=0)
        given: dict[str, Any] = {"descriptor": base64.b64encode(mean.astype("<f4").tobytes()).decode()}
        if self.path.startswith("/classify"):
            segments = [{**LABELS[index], "start_sec": index * 0.5, "end_sec": index * 0.5 + 0.5} for index in range(len(LABELS))]
            given = {**self.labels(0), "segments": segments}
        video = {"sha256": "cd" * 32, "duration_sec": 2.0}
        about = {"id": "an-id", "model": MODEL | RUN | self.server.model, "video": video, "warnings": self.server.warnings}
        self.line("summary", **about, **given, timings_ms={})
        self.wfile.write(b"0\r\n\r\n")

    def labels(self, index: int) -> dict[str, Any]:
        """The predictions of one clip."""
        return {"predictions": [LABELS[index % len(LABELS)], LABELS[(index + 1) % len(LABELS)]]}

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class ScriptedService(ThreadingHTTPServer):
    """``script``: what the next POSTs get, in order. ``asked``: the body and the query of each POST so far."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.script: list[Answer] = []
        self.asked: list[tuple[bytes, dict[str, str]]] = []
        self.model: dict[str, Any] = {}
        self.info: dict[str, Any] = {"model": MODEL, **RUN}
        self.num_clips = 3
        self.warnings: list[dict[str, str]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def well(handler: Handler) -> None:
    """The whole answer."""
    handler.begin()
    handler.line("heartbeat")
    handler.clips(handler.server.num_clips)
    handler.summary()


def refused(status: int, code: str, **headers: str) -> Answer:
    """A problem instead of an answer."""
    problem = {"status": status, "code": code, "detail": f"It is {code}.", "request_id": "request-1"}
    return lambda handler: handler.answer_json(status, problem, **headers)


def broken(num_clips: int) -> Answer:
    """The connection ends behind so many clips."""

    def answer(handler: Handler) -> None:
        handler.begin()
        handler.clips(num_clips)
        handler.close_connection = True

    return answer


def failed(code: str, status: int = 422) -> Answer:
    """A stream whose last line is an error."""

    def answer(handler: Handler) -> None:
        handler.begin()
        handler.clips(1)
        problem = {"status": status, "code": code, "detail": f"It is {code}.", "request_id": "request-2"}
        handler.line("error", error=problem)
        handler.wfile.write(b"0\r\n\r\n")

    return answer


@contextmanager
def scripted() -> Iterator[ScriptedService]:
    """It runs in a thread until the end of the context."""
    with ScriptedService() as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()
