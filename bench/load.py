"""A load generator: so many clients, each sending its next request when the last one is answered. One thread a client, the
standard library's HTTP client, bodies made beforehand: it takes as little processor as it can from what it measures."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from bench.inputs import Clips

TIMEOUT_S = 3600


class Request(NamedTuple):
    """A POST: its path, its body, its headers, and how many clips it holds."""

    path: str
    body: bytes
    headers: dict[str, str]
    num_clips: int


class Load(NamedTuple):
    """What came of it: seconds from the first byte sent to the last one answered, each answer's latency, and its JSON."""

    seconds: float
    latencies_s: list[float]
    answers: list[Any]


def video_upload(video: bytes, num_clips: int, path: str = "/features") -> Request:
    """A video as the raw body."""
    return Request(path, video, {"Content-Type": "application/octet-stream"}, num_clips)


def video_form(video: bytes, num_clips: int, path: str, field: str) -> Request:
    """A video as a browser's form sends it."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="clip.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
    return Request(path, head.encode() + video + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, num_clips)


def decoded_clips(clips: Clips) -> Request:
    """Decoded clips through the Open Inference Protocol, both ways in binary; asks for fc6."""
    head = {
        "inputs": [
            {
                "name": "clips",
                "shape": list(clips.shape),
                "datatype": "UINT8",
                "parameters": {"binary_data_size": clips.nbytes},
            }
        ],
        "outputs": [{"name": "fc6", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    return Request("/v2/models/c3d/infer", text + np.ascontiguousarray(clips).tobytes(), headers, len(clips))


def drive(port: int, requests: Sequence[Request], count: int, concurrency: int) -> Load:
    """Send ``count`` requests, taken from ``requests`` in turn, by so many clients. Raises RuntimeError where one fails."""
    turns = itertools.cycle(requests)
    left = iter(range(count))
    lock = threading.Lock()
    latencies: list[float] = []
    answers: list[Any] = []

    def client(connection: http.client.HTTPConnection) -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
                request = next(turns)
            started = time.perf_counter()
            connection.request("POST", request.path, request.body, request.headers)
            response = connection.getresponse()
            body = response.read()
            latencies.append(time.perf_counter() - started)
            if response.status != 200:
                raise RuntimeError(f"{request.path} was answered {response.status}: {body[:500]!r}")
            answers.append(body)

    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S) for _ in range(concurrency)]
    for connection in connections:
        connection.connect()
    with ThreadPoolExecutor(concurrency) as pool:
        started = time.perf_counter()
        for done in [pool.submit(client, connection) for connection in connections]:
            done.result()
        seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Load(seconds, latencies, answers)
