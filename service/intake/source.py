"""An upload, a raw body or a URL becomes one file in the request's private directory, which is deleted afterwards."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Literal

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.errors import (
    BodyTooLarge,
    DiskFull,
    EmptyFile,
    InvalidOption,
    MalformedRequest,
    SourceConflict,
    SourceRequired,
    UnsupportedMediaType,
)
from service.http.disconnect import unless_left
from service.intake.fetch import Fetcher
from service.intake.form import MAX_FIELDS, Form
from service.intake.spool import Reserve, Spool, SpoolWriter

MAX_JSON_BYTES = 64 * 1024
# Types that clients give video files beside video/*.
RAW = {b"application/octet-stream", b"binary/octet-stream", b"application/mp4", b"application/ogg", b"image/gif"}
KINDS = {"form": "form", "raw": "raw", "json": "url"}
FILE_NAME = "video"  # no suffix, no digits: FFmpeg must judge by content, and must not take it for an image sequence
HOW_TO_SEND = (
    "Send it as multipart/form-data in the field 'file' (curl -F file=@clip.mp4), or as the raw body with the header "
    "Content-Type: application/octet-stream (curl -H 'Content-Type: application/octet-stream' --data-binary @clip.mp4), "
    "or as a URL in JSON "
    '(curl --json \'{"url": "https://example.com/clip.mp4"}\').'
)


@dataclass
class RequestFiles:
    """The files of one request, in a directory of its own. They take their bytes from ``reserve`` before they are written."""

    directory: Path
    reserve: Reserve
    files: ExitStack

    def create(self, name: str) -> FileIO:
        """A fresh file, open for writing without a buffer. It is closed and deleted with the directory."""
        return self.files.enter_context(FileIO(self.directory / name, "x"))


@dataclass
class Source(RequestFiles):
    """A whole video on disk: ``size_bytes``, ``sha256`` of its bytes, and the form's other fields as they came."""

    kind: str = "raw"  # or "form" or "url"
    size_bytes: int = 0
    sha256: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where the video is."""
        return self.directory / FILE_NAME


@contextmanager
def request_files(spool: Spool) -> Iterator[RequestFiles]:
    """Room for the files of one request, which are gone with the context. Raises DiskFull, also for the block."""
    with _private_directory(spool.path) as directory, _disk_full(), spool.share() as reserve, ExitStack() as files:
        yield RequestFiles(Path(directory), reserve, files)


@asynccontextmanager
async def receive(request: Request, spool: Spool, fetcher: Fetcher) -> AsyncIterator[Source]:
    """Write the request's video to a file that lives as long as the context; about a MiB of it in memory.

    Raises UnsupportedMediaType, SourceRequired, SourceConflict, EmptyFile, BodyTooLarge, MalformedRequest, InvalidOption,
    DiskFull, and what the fetcher raises; starlette's ClientDisconnect where the client leaves.
    """
    kind, boundary = _kind(request)
    with request_files(spool) as own:
        writer = SpoolWriter(own.create(FILE_NAME), own.reserve)
        if kind == "json":
            url, fields = _url_and_options(await _small_body(request))
        else:
            url, fields = await _upload(request, writer, Form(writer, boundary) if kind == "form" else None)
        if url:
            kind = "json"
            await unless_left(request, fetcher.fetch(url, writer.take))
            await writer.flush()
        if not writer.size_bytes:
            raise EmptyFile("The file has no bytes. Check that it was written before it was sent.")
        yield Source(own.directory, own.reserve, own.files, KINDS[kind], writer.size_bytes, writer.digest.hexdigest(), fields)


def _private_directory(spool_dir: Path) -> tempfile.TemporaryDirectory[str]:
    with _disk_full():
        spool_dir.mkdir(mode=0o700, exist_ok=True)  # a tidier of the system's temporary directory may have removed it
        return tempfile.TemporaryDirectory(dir=spool_dir, prefix="request-")


@contextmanager
def _disk_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise DiskFull("The service's disk is full. Try again later, or ask another instance.") from error


def _kind(request: Request) -> tuple[Literal["form", "raw", "json"], bytes]:
    """What the body is, and a form's boundary. Raises where it can hold no video."""
    check_not_compressed(request)
    media_type, parameters = parse_options_header(request.headers.get("content-type", ""))
    if media_type == b"multipart/form-data":
        return "form", parameters.get(b"boundary", b"")
    if media_type.startswith(b"video/") or media_type in RAW:
        return "raw", b""
    if media_type == b"application/json":
        return "json", b""
    if not media_type and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        raise SourceRequired("The request holds no video. " + HOW_TO_SEND)
    raise UnsupportedMediaType(HOW_TO_SEND)


def check_not_compressed(request: Request) -> None:
    """Raises UnsupportedMediaType where the body has a Content-Encoding."""
    if request.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
        error = UnsupportedMediaType("The body is compressed (Content-Encoding). Send it uncompressed.")
        error.headers = {"Accept-Encoding": "identity"}  # RFC 9110, section 12.5.3: what would be accepted
        raise error


async def _upload(request: Request, writer: SpoolWriter, form: Form | None) -> tuple[str, list[tuple[str, str]]]:
    """Write the video; the URL that a form may name in its place, else "", and the form's other fields."""
    async for chunk in request.stream():
        if form:
            form.write(chunk)  # this writes the file's part of it
        await writer.take(b"" if form else chunk)
    await writer.flush()
    if form is None:
        return "", []
    form.finish()
    urls = list(filter(None, (value.strip() for name, value in form.fields if name == "url")))
    if not (form.num_files or urls):
        raise SourceRequired("The form holds no file. Put the video into the field 'file' (curl -F file=@clip.mp4).")
    if len(urls) + bool(writer.size_bytes) > 1:  # HTML forms send an empty file where no file was chosen
        raise SourceConflict("The form holds more than one video (files and URLs count together). Send one.")
    return "".join(urls), [(name, value) for name, value in form.fields if name != "url"]


async def _small_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise BodyTooLarge(f"The JSON is over {MAX_JSON_BYTES} bytes. It may hold a URL and options, not a video.")
    return bytes(body)


def _url_and_options(body: bytes) -> tuple[str, list[tuple[str, str]]]:
    """What ``{"url": "https://...", "top_k": 3, "include": ["clips"]}`` says: options as a form would hold them."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # RecursionError: brackets nested too deep
        content = None
    if not isinstance(content, dict):
        raise MalformedRequest('The body is not a JSON object. Write it like {"url": "https://example.com/clip.mp4"}.')
    if content.get("url") in (None, ""):
        raise SourceRequired('The JSON has no URL. Write it like {"url": "https://example.com/clip.mp4"}.')
    url = content.pop("url")
    given = {name: value for name, value in content.items() if value is not None}
    options = [(name, each) for name, value in given.items() for each in (value if isinstance(value, list) else [value])]
    if len(options) > MAX_FIELDS:
        raise InvalidOption(f"The JSON holds more than {MAX_FIELDS} values. There are not that many options.")
    if not isinstance(url, str) or not all(type(value) in {str, int, float} for _, value in options):
        raise InvalidOption("The URL must be a string; options must be strings, numbers, or lists of them.")
    return url.strip(), [(name, str(value)) for name, value in options]
