"""service/http/compression.py: JSON in gzip for those who take it; streams and arrays as they are."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Message

from service.http.compression import INLINE_BYTES, MIN_BYTES, Compression, accepts_gzip, shrink
from tests.support.http_helpers import ask, fake_app, serving


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


@pytest.mark.parametrize("header", ["gzip", "gzip, deflate, br", "br;q=1.0, GZIP ; q=0.5", "*", "*;q=0.1"])
def test_who_takes_gzip(header: str) -> None:
    assert accepts_gzip(Headers({"accept-encoding": header}))


@pytest.mark.parametrize("header", ["", "br", "identity", "gzip;q=0", "gzip;q=0.000, *", "*;q=0"])
def test_who_does_not(header: str) -> None:
    assert not accepts_gzip(Headers({"accept-encoding": header}))


def raw(client: TestClient, method: str, path: str, accept_encoding: str = "gzip", **request: Any) -> tuple[Any, bytes]:
    """The answer, and its body as it came."""
    headers = {"accept-encoding": accept_encoding, **request.pop("headers", {})}
    with client.stream(method, path, headers=headers, **request) as answer:
        return answer, b"".join(answer.iter_raw())


def test_json_comes_in_gzip_where_it_is_taken(client: TestClient, clip_mp4: Path) -> None:
    request: Any = {"files": {"file": clip_mp4.read_bytes()}, "params": {"include": "clips"}}
    plain, text = raw(client, "POST", "/features", "identity", **request)
    coded, body = raw(client, "POST", "/features", "gzip", **request)
    assert "content-encoding" not in plain.headers
    assert coded.headers["content-encoding"] == "gzip"
    assert int(coded.headers["content-length"]) == len(body) < len(text) * 0.6
    assert [each.headers["vary"] for each in (plain, coded)] == ["Accept-Encoding"] * 2
    assert orjson.loads(gzip.decompress(body))["id"] == orjson.loads(text)["id"]


@pytest.mark.parametrize("path", ["/openapi.json", "/docs/swagger-ui-bundle.js", "/metrics", "/labels"])
def test_what_is_large_and_text_comes_in_gzip(client: TestClient, path: str) -> None:
    answer, body = raw(client, "GET", path)
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(body)
    head, _ = raw(client, "HEAD", path)
    assert head.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("accept", "include"),
    [("application/x-ndjson", ""), ("application/x-npy", "clips"), ("application/zip", ""), ("application/json", "")],
)
def test_streams_arrays_and_little_pass_as_they_are(client: TestClient, clip_mp4: Path, accept: str, include: str) -> None:
    request: Any = {"files": {"file": clip_mp4.read_bytes()}, "params": {"include": include}, "headers": {"accept": accept}}
    answer, body = raw(client, "POST", "/classify", **request)
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert not body.startswith(b"\x1f\x8b")


@pytest.mark.parametrize("size", [MIN_BYTES, INLINE_BYTES, INLINE_BYTES + 1])
def test_much_is_compressed_off_the_event_loop(size: int) -> None:
    threads: list[threading.Thread] = []

    def recorded(body: bytes) -> bytes:
        threads.append(threading.current_thread())
        return shrink(body)

    app = Compression(Response(bytes(size), media_type="application/json"), recorded)
    answer = asyncio.run(ask(app, headers=[("accept-encoding", "gzip")]))
    assert gzip.decompress(b"".join(message.get("body", b"") for message in answer.said)) == bytes(size)
    assert [thread is threading.main_thread() for thread in threads] == [size <= INLINE_BYTES]


def test_an_answer_in_pieces_is_not_held_back() -> None:
    order: list[str] = []

    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for number in range(2):
            order.append(f"sent {number}")
            await send({"type": "http.response.body", "body": b"x" * MIN_BYTES, "more_body": number == 0})

    async def send(message: Message) -> None:
        order.append(message["type"].rpartition(".")[2])

    scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
    asyncio.run(Compression(pieces)(scope, None, send))  # type: ignore[arg-type]
    assert order == ["sent 0", "start", "body", "sent 1", "body"]
