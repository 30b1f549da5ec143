"""service/intake/source.py: what a client may send as a video, in whatever pieces it comes, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from service import errors
from service.intake.fetch import Fetcher
from service.intake.fetch_policy import FetchPolicy
from service.intake.form import MAX_FIELD_BYTES, MAX_FIELDS
from service.intake.source import receive
from service.intake.spool import WRITE_BYTES, Spool
from tests.conftest import ROOT
from tests.support.http_helpers import BOUNDARY, GONE, MULTIPART, OCTETS, chunks, form, part

# All that a parser may take for a boundary and that is none, and bytes that are no text.
CONTENT = f"\r\n--{BOUNDARY[:-1]}\r\n--\r\n\r--{BOUNDARY}\n--{BOUNDARY}\r\n-".encode() + bytes(range(256))
FORM = form(part("top_k", b"3"), part("file", CONTENT, "clip.mp4"), part("tail", b"pad"))
FIELDS = [("top_k", "3"), ("tail", "pad")]
Headers = Iterable[tuple[str, str]]


FETCHER = Fetcher(FetchPolicy(max_bytes=10_000_000))
JSON = (("content-type", "application/json"),)


def receiver(messages: Iterable[Message]) -> Receive:
    waiting = iter(messages)

    async def next_message() -> Message:
        message = next(waiting, None)
        return message or await asyncio.get_running_loop().create_future()  # the client stays, and sends no more

    return next_message


async def received(spool: Path, messages: Iterable[Message], headers: Headers) -> tuple[bytes, Any]:
    """The bytes of the file that the request became, and the Source as it was."""
    scope = {"type": "http", "method": "POST", "headers": [(name.encode(), value.encode()) for name, value in headers]}
    async with receive(Request(scope, receiver(messages)), Spool(spool, 10**9), FETCHER) as source:
        assert spool in source.path.parents
        return source.path.read_bytes(), source


def read(spool: Path, messages: Iterable[Message], headers: Headers = MULTIPART) -> tuple[bytes, Any]:
    try:
        return asyncio.run(received(spool, messages, headers))
    finally:
        assert list(spool.iterdir()) == []


def test_a_form_gives_the_same_wherever_its_bytes_are_cut(tmp_path: Path) -> None:
    async def cut_everywhere() -> None:
        for position in range(len(FORM) + 1):
            content, source = await received(tmp_path, chunks(FORM[:position], FORM[position:]), MULTIPART)
            assert (content, source.fields) == (CONTENT, FIELDS), position

    asyncio.run(cut_everywhere())


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_form_gives_the_same_in_pieces_of_any_size(tmp_path: Path, size: int) -> None:
    pieces = [FORM[start : start + size] for start in range(0, len(FORM), size)]
    content, source = read(tmp_path, chunks(*pieces, b""))
    assert (content, source.fields) == (CONTENT, FIELDS)
    assert (source.size_bytes, source.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/octet-stream", "video/mp4", "VIDEO/x-msvideo; codecs=x", "Application/Octet-Stream"),
        *("image/gif", "application/mp4", "application/ogg", "binary/octet-stream"),
    ],
)
def test_a_raw_body_is_the_file(tmp_path: Path, media_type: str) -> None:
    content, source = read(tmp_path, chunks(CONTENT, FORM, b""), [("content-type", media_type)])
    assert content == CONTENT + FORM
    assert (source.size_bytes, source.sha256, source.fields) == (len(content), hashlib.sha256(content).hexdigest(), [])


def test_a_large_body_is_written_as_it_comes(tmp_path: Path) -> None:
    on_disk: list[int] = []

    def watched() -> Iterable[Message]:
        for _ in range(5):
            yield {"type": "http.request", "body": bytes(WRITE_BYTES), "more_body": True}
            on_disk.append(sum(path.stat().st_size for path in tmp_path.glob("*/*")))
        yield {"type": "http.request"}

    assert read(tmp_path, watched(), OCTETS)[1].size_bytes == 5 * WRITE_BYTES
    assert on_disk == [n * WRITE_BYTES for n in range(1, 6)]


@pytest.mark.parametrize(
    "content_type",
    [f'multipart/form-data; boundary="{BOUNDARY}"', f"Multipart/Form-Data; charset=utf-8; Boundary={BOUNDARY}"],
)
def test_a_boundary_may_be_written_in_any_way_that_the_rfc_allows(tmp_path: Path, content_type: str) -> None:
    assert read(tmp_path, chunks(FORM), [("content-type", content_type)])[0] == CONTENT


def test_the_file_needs_no_filename_and_may_come_with_its_own_headers(tmp_path: Path) -> None:
    headers = "content-type: video/mp4\r\nCONTENT-DISPOSITION: form-data; name=file"
    assert read(tmp_path, chunks(f"--{BOUNDARY}\r\n{headers}\r\n\r\nabc\r\n--{BOUNDARY}--".encode()))[0] == b"abc"


@pytest.mark.parametrize("preamble", [b"\r\n", b"This is a multipart message.\r\n", b"--" + BOUNDARY[:4].encode() + b"\r\n\r\n"])
def test_what_comes_before_the_first_boundary_is_ignored(tmp_path: Path, preamble: bytes) -> None:
    body = preamble + FORM
    assert read(tmp_path, chunks(body))[0] == CONTENT
    assert read(tmp_path, chunks(*[body[at : at + 1] for at in range(len(body))], b""))[0] == CONTENT


def test_what_comes_behind_the_closing_boundary_is_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, chunks(FORM + b"an epilogue"))[0] == CONTENT


@pytest.mark.parametrize("filename", ["../../etc/passwd", "/etc/passwd", "a\x00b", "%00", "x" * 1000, "..", ""])
def test_the_clients_file_name_names_nothing_here(tmp_path: Path, filename: str) -> None:
    source = read(tmp_path, chunks(form(part("file", b"abc", filename))))[1]
    assert source.path.name == "video"
    assert source.path.parent.parent == tmp_path


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (form(part("file", b"a", "a"), part("file", b"b", "b")), errors.SourceConflict),
        (form(part("top_k", b"5")), errors.SourceRequired),
        (form(part("video", b"a", "a.mp4")), errors.SourceRequired),
        (form(), errors.SourceRequired),
        (form(part("file", b"", "a.mp4")), errors.EmptyFile),
        (b"", errors.MalformedRequest),
        (b"no boundary at all", errors.MalformedRequest),
        (FORM[:-10], errors.MalformedRequest),
        (FORM[: len(FORM) // 2], errors.MalformedRequest),
        (part("file", CONTENT, "a.mp4"), errors.MalformedRequest),
        (f"--{BOUNDARY}\r\nno header\r\n\r\na\r\n--{BOUNDARY}--".encode(), errors.MalformedRequest),
        (f"--{BOUNDARY}\r\nX-Long: ".encode() + b"a" * 1_000_000, errors.MalformedRequest),
        (f"--{BOUNDARY}\r\n".encode() + b"a: b\r\n" * 10_000, errors.MalformedRequest),
        (form(part("tail", b"x" * (MAX_FIELD_BYTES + 1))), errors.InvalidOption),
        (form(*[part(f"o{n}", b"") for n in range(MAX_FIELDS + 1)]), errors.InvalidOption),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_form_that_is_not_one_video_is_refused(tmp_path: Path, body: bytes, error: type[errors.ServiceError]) -> None:
    with pytest.raises(error):
        read(tmp_path, chunks(body))


def test_a_part_without_a_name_is_malformed(tmp_path: Path) -> None:
    nameless = f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\na\r\n".encode()
    with pytest.raises(errors.MalformedRequest):
        read(tmp_path, chunks(form(nameless, part("file", b"abc", "a.mp4"))))


@pytest.mark.parametrize("boundary", ["", ";", "; boundary=", "; boundary=" + "b" * 71, "; border=b"])
def test_a_form_without_a_usable_boundary_is_malformed(tmp_path: Path, boundary: str) -> None:
    with pytest.raises(errors.MalformedRequest):
        read(tmp_path, chunks(FORM), [("content-type", f"multipart/form-data{boundary}")])


@pytest.mark.parametrize(
    "media_type",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/mixed; boundary=b",
        "video",
        "image/png",
        "",
        "/",
    ],
)
def test_another_type_is_unsupported_and_the_detail_says_what_to_send(tmp_path: Path, media_type: str) -> None:
    with pytest.raises(errors.UnsupportedMediaType, match="Content-Type: application/octet-stream"):
        read(tmp_path, chunks(b"abc"), [("content-type", media_type), ("content-length", "3")])


@pytest.mark.parametrize("headers", [[], [("content-length", "0")]])
def test_a_request_with_nothing_in_it_lacks_a_video(tmp_path: Path, headers: Headers) -> None:
    with pytest.raises(errors.SourceRequired, match=r"curl -F file=@clip\.mp4"):
        read(tmp_path, chunks(b""), headers)


def test_an_empty_raw_body_is_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(errors.EmptyFile):
        read(tmp_path, chunks(b""), OCTETS)


@pytest.mark.parametrize("headers", [OCTETS, MULTIPART])
@pytest.mark.parametrize("sent", [0, 30, 150, len(FORM)])
def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(tmp_path: Path, headers: Headers, sent: int) -> None:
    with pytest.raises(ClientDisconnect):
        read(tmp_path, [*chunks(FORM[:sent], whole=False), GONE], headers)


def test_the_file_is_gone_even_where_its_user_fails(tmp_path: Path) -> None:
    async def use() -> None:
        scope = {"type": "http", "headers": [(b"content-type", b"video/mp4")]}
        async with receive(Request(scope, receiver(chunks(b"abc"))), Spool(tmp_path, 10**9), FETCHER) as source:
            raise RuntimeError(source.path.read_bytes())

    with pytest.raises(RuntimeError, match="abc"):
        asyncio.run(use())
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.support.http_helpers import OCTETS, fake_app, serving
spool = Path(sys.argv[1])
with serving(fake_app(spool)) as client:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    answer = client.post("/features", content=bytes(3_000_000), headers=dict(OCTETS))
    print(answer.status_code, answer.json()["code"], len(list(spool.glob("*/*"))), str(spool) in answer.text)
    print(client.post("/features", content=b"small", headers=dict(OCTETS)).status_code)
"""


@pytest.mark.slow
def test_a_full_disk_is_507_and_the_next_request_is_served(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.split("\n")[:2] == ["507 disk_full 0 False", "422"], run.stderr


URL_AS_JSON = b'{"url": "URL", "top_k": 3, "include": ["clips"], "tail": "pad"}'
URL_IN_FORM = form(
    part("file", b"", ""),  # what an HTML form sends where no file was chosen
    *(part(name, value) for name, value in (("top_k", b"3"), ("url", b" URL\n"), ("include", b"clips"), ("tail", b"pad"))),
)


@pytest.mark.parametrize(("given", "headers"), [(URL_AS_JSON, JSON), (URL_IN_FORM, MULTIPART)], ids=["json", "form"])
def test_a_url_becomes_the_same_file_and_its_fields_the_options(tmp_path: Path, given: bytes, headers: Any) -> None:
    async def run() -> tuple[bytes, Any]:
        content = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"video" * 600_000

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(content)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fetcher = Fetcher(FetchPolicy(max_bytes=10_000_000, allow_private=True, allowed_ports=frozenset({port})))
        body = given.replace(b"URL", f"http://127.0.0.1:{port}/clip.mp4".encode())
        scope = {"type": "http", "method": "POST", "headers": [(name.encode(), value.encode()) for name, value in headers]}
        messages = iter(chunks(body[:9], body[9:]))

        async def next_message() -> Message:
            message = next(messages, None)
            return message or await asyncio.get_running_loop().create_future()

        async with server, receive(Request(scope, next_message), Spool(tmp_path, 10**9), fetcher) as source:
            return source.path.read_bytes(), source

    content, source = asyncio.run(run())
    assert content == b"video" * 600_000
    assert source.sha256 == hashlib.sha256(content).hexdigest()
    assert (source.kind, source.fields) == ("url", [("top_k", "3"), ("include", "clips"), ("tail", "pad")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", errors.MalformedRequest),
        (b"[1]", errors.MalformedRequest),
        (b"[" * 30_000, errors.MalformedRequest),
        (b'{"url": ', errors.MalformedRequest),
        (b"{}", errors.SourceRequired),
        (b'{"url": 3}', errors.InvalidOption),
        (b'{"url": "http://127.0.0.1/", "top_k": {}}', errors.InvalidOption),
        (b'{"url": "http://127.0.0.1/", "top_k": true}', errors.InvalidOption),
        (b'{"url": "http://127.0.0.1/"}', errors.UrlForbidden),
        (b'{"url": "file:///etc/passwd"}', errors.UrlForbidden),
        (b" " * 70_000, errors.BodyTooLarge),
    ],
)
def test_json_that_names_no_file_is_refused(tmp_path: Path, body: bytes, error: type[errors.ServiceError]) -> None:
    with pytest.raises(error):
        asyncio.run(received(tmp_path, chunks(body), JSON))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", [part("file", CONTENT, "clip.mp4"), part("url", b"https://example.com/other.mp4")])
def test_a_url_and_another_source_are_in_conflict(tmp_path: Path, other: bytes) -> None:
    body = form(other, part("url", b"https://example.com/clip.mp4"))
    with pytest.raises(errors.SourceConflict):
        read(tmp_path, chunks(body), MULTIPART)


@pytest.mark.parametrize("fails", [False, True])
def test_the_spool_counts_what_is_there_and_no_more(tmp_path: Path, *, fails: bool) -> None:
    spool = Spool(tmp_path, 3 * WRITE_BYTES)
    body = bytes(WRITE_BYTES * (4 if fails else 2))

    async def run() -> int:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"video/mp4")]}
        pieces = [body[start : start + WRITE_BYTES] for start in range(0, len(body), WRITE_BYTES)]
        async with receive(Request(scope, receiver(chunks(*pieces))), spool, FETCHER):
            return spool.used_bytes

    if fails:
        with pytest.raises(errors.DiskFull):
            asyncio.run(run())
    else:
        assert asyncio.run(run()) == len(body)
    assert spool.used_bytes == 0
    assert list(tmp_path.iterdir()) == []
