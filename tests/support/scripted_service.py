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
LABELS: list[dict[str, Any]] = [
    {"label": "bowling", "class_id": 7, "score": 0.75},
    {"label": "[rock] & <roll>", "class_id": 9, "score": 0.125},
]

BY_CLASS = {each["class_id"]: each for each in LABELS}
LAYERS = {"fc6": 1, "fc7": 2, "pool5": 3}  # of several, what the rows of each are multiplied by

Rows = np.ndarray[Any, np.dtype[np.float32]]
Answer = Callable[["Handler"], None]


def rows(body: bytes, num_clips: int) -> Rows:
    """The vectors that this service gives a video, float32 (num_clips, 8)."""
    seed = int.from_bytes(body[:8].ljust(8, b"."), "little")
    return np.random.default_rng(seed).random((num_clips, WIDTH), np.float32)


def vector_of(row: Rows) -> str:
    """A vector as the service writes it."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


class Handler(BaseHTTPRequestHandler):
    """One request; the server's script says what comes next, else all goes well."""

    server: ScriptedService
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer_json(self.server.info_status, self.server.info)

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["content-length"]))
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        with self.server.lock:
            self.server.asked.append((self.body, self.query))
            script = self.server.script
            code = self.server.refused.get(self.body)
            answer = refused(422, code) if code else script.pop(0) if script else well
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
        for index, row in enumerate(self.rows()[:count]):
            span = {
                "start_frame": index * 16,
                "end_frame": index * 16 + 16,
                "start_sec": index * 0.5,
                "end_sec": index * 0.5 + 0.5,
            }
            given = self.given(row, index + 1)
            self.line("clip", index=index, id=f"clip-{index}", **span, **given, progress=(index + 1) / count)

    def summary(self) -> None:
        given = self.given(self.rows().mean(axis=0), 0)
        if self.path.startswith("/classify"):
            given["segments"] = [{**each, "start_sec": i * 0.5, "end_sec": i * 0.5 + 0.5} for i, each in enumerate(LABELS)]
        video = {"sha256": "cd" * 32, "duration_sec": 2.0}
        about = {"id": "an-id", "model": MODEL | RUN | self.server.model, "video": video, "warnings": self.server.warnings}
        self.line("summary", **about, **given, timings_ms={})
        self.wfile.write(b"0\r\n\r\n")

    def rows(self) -> Rows:
        return self.server.rows_of(self.body, self.server.num_clips)

    def given(self, row: Rows, index: int) -> dict[str, Any]:
        """What is asked for of the video, index 0, or of a clip, from 1 on."""
        given: dict[str, Any] = {}
        if self.path.startswith("/features") and not (index and self.query.get("vectors") == "video"):
            layers = self.query.get("layer", "fc6").split(",")
            vectors = {layer: vector_of(row * LAYERS[layer]) for layer in layers}
            given["descriptor"] = vectors if len(layers) > 1 else vector_of(row)
        if self.path.startswith("/classify") or "predictions" in self.query.get("include", ""):
            ranked = self.server.ranked.get(self.body, [[7, 9], [7, 9], [9, 7], [7, 9]])[index]
            given["predictions"] = [BY_CLASS.get(each, {"label": "?", "class_id": each, "score": 0.1}) for each in ranked]
        return given

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class ScriptedService(ThreadingHTTPServer):
    """``script``: what the next POSTs get, in order. ``asked``: the body and the query of each POST so far.

    ``rows_of``: the vectors of a body. ``ranked``: by body, class ids from the most probable on: of the video, then of each clip.
    ``refused``: by body, the code of a failure of its own.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.script: list[Answer] = []
        self.asked: list[tuple[bytes, dict[str, str]]] = []
        self.model: dict[str, Any] = {}
        self.info_status = 200
        self.info: dict[str, Any] = {"model": MODEL, **RUN}
        self.num_clips = 3
        self.rows_of: Callable[[bytes, int], Rows] = rows
        self.ranked: dict[bytes, list[list[int]]] = {}
        self.refused: dict[bytes, str] = {}
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
