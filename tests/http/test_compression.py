"""service/http/compression.py: JSON in gzip for those who take it; streams and arrays as they are."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.testclient import TestClient

from service.http.compression import GZIP, INLINE_BYTES, MIN_BYTES, Compression, accepts_gzip
from tests.support.http_helpers import Exchange, ask, fake_app, serving
from tests.support.videos import write_video


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

    class Recorded:
        """A compressor that says where it ran."""

        def __init__(self) -> None:
            self._own = zlib.compressobj(wbits=GZIP)

        def compress(self, body: bytes) -> bytes:
            threads.append(threading.current_thread())
            return self._own.compress(body)

        def flush(self) -> bytes:
            return self._own.flush()

    app = Compression(Response(bytes(size), media_type="application/json"), Recorded)
    answer = asyncio.run(ask(app, headers=[("accept-encoding", "gzip")]))
    assert gzip.decompress(b"".join(message.get("body", b"") for message in answer.said)) == bytes(size)
    assert [thread is threading.main_thread() for thread in threads] == [size <= INLINE_BYTES]


@pytest.mark.parametrize("piece", [b"x" * MIN_BYTES, b"x" * (INLINE_BYTES + 1)])
def test_an_answer_in_pieces_is_compressed_piece_by_piece(piece: bytes) -> None:
    asked_for: list[int] = []

    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(3 * len(piece)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(3):
            asked_for.append(len(answer.said))
            await send({"type": "http.response.body", "body": piece, "more_body": number < 2})

    answer = Exchange([])
    asyncio.run(ask(Compression(pieces), headers=[("accept-encoding", "gzip")], exchange=answer))
    assert gzip.decompress(b"".join(message.get("body", b"") for message in answer.said)) == 3 * piece
    assert answer.headers == {"content-type": "application/json", "vary": "Accept-Encoding", "content-encoding": "gzip"}
    assert asked_for == [0, 2, 3]  # nothing is held back but the head, until the first piece


def test_a_large_answer_from_a_file_is_compressed(client: TestClient, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 200)
    answer, body = raw(client, "POST", "/features", files={"file": video.read_bytes()}, params={"include": "clips"})
    assert answer.headers["content-encoding"] == "gzip"
    content = orjson.loads(gzip.decompress(body))
    assert len(content["clips"]) == 24
    assert len(body) < 0.6 * len(orjson.dumps(content))
