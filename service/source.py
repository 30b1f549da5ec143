"""An upload or a raw body becomes one file in the request's private directory, which is deleted afterwards."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
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

WRITE_BYTES = 1024 * 1024  # collected before a thread writes them: a hop to a thread costs more than a small write
MAX_FIELDS = 64  # of a form, beside the file
MAX_FIELD_BYTES = 4096
MAX_BOUNDARY_BYTES = 70  # RFC 2046, section 5.1.1
FILE_FIELD = "file"
FILE_NAME = "video"  # no suffix, no digits: FFmpeg must judge by content, and must not take it for an image sequence
HOW_TO_SEND = (
    "Send it as multipart/form-data in the field 'file' (curl -F file=@clip.mp4), or as the raw body with the header "
    "Content-Type: application/octet-stream (curl -H 'Content-Type: application/octet-stream' --data-binary @clip.mp4)."
)


@dataclass
class Source:
    """A whole video on disk: its path, ``size_bytes``, ``sha256`` of its bytes, and the form's other fields as they came."""

    path: Path
    size_bytes: int = 0
    sha256: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)


@asynccontextmanager
async def receive(request: Request, spool_dir: Path, max_bytes: int) -> AsyncIterator[Source]:
    """Write the request's video to a file that lives as long as the context; never more than WRITE_BYTES of it in memory.

    Raises UnsupportedMediaType, SourceRequired, SourceConflict, EmptyFile, BodyTooLarge, MalformedRequest, InvalidOption,
    DiskFull; starlette's ClientDisconnect where the client leaves.
    """
    boundary = _boundary(request)
    with tempfile.TemporaryDirectory(dir=spool_dir, prefix="request-") as directory:
        path = Path(directory) / FILE_NAME
        try:
            with path.open("xb", buffering=0) as file:
                sink = Sink(file)
                parts = None if boundary is None else _Form(sink, boundary)
                await _read(request, sink, parts, max_bytes)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise DiskFull("The service has no room left for this upload. Try again later or at another instance.") from error
            raise
        if parts and not parts.num_files:
            raise SourceRequired("The form holds no file. Put the video into the field 'file' (curl -F file=@clip.mp4).")
        if not sink.size_bytes:
            raise EmptyFile("The file has no bytes. Check that it was written before it was sent.")
        yield Source(path, sink.size_bytes, sink.digest.hexdigest(), parts.fields if parts else [])


def _boundary(request: Request) -> bytes | None:
    """The boundary of a multipart body, None for a raw one. Raises where the request holds neither."""
    media_type, parameters = parse_options_header(request.headers.get("content-type", ""))
    if media_type == b"multipart/form-data":
        return parameters.get(b"boundary", b"")
    if media_type.startswith(b"video/") or media_type == b"application/octet-stream":
        return None
    if not media_type and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        raise SourceRequired("The request holds no video. " + HOW_TO_SEND)
    raise UnsupportedMediaType(HOW_TO_SEND)


async def _read(request: Request, sink: Sink, form: _Form | None, max_bytes: int) -> None:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise BodyTooLarge(f"The body is over {max_bytes} bytes. Send a shorter or a more compressed video.")
        if form:
            form.write(chunk)
        else:
            sink.write(chunk)
        if len(sink.waiting) >= WRITE_BYTES:
            await to_thread.run_sync(sink.flush)
    await to_thread.run_sync(sink.flush)
    if form:
        form.finish()


class Sink:
    """Collects the video's bytes, then hashes and writes them in a thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.waiting = bytearray()
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        self.waiting += data

    def flush(self) -> None:
        self.digest.update(self.waiting)
        view = memoryview(self.waiting)
        while view:
            view = view[self._file.write(view) :]
        self.size_bytes += len(self.waiting)
        self.waiting = bytearray()


class _Form:
    """A multipart/form-data body (RFC 7578) taken apart as it comes: the one file into the sink, the rest into ``fields``."""

    def __init__(self, sink: Sink, boundary: bytes) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise MalformedRequest("The Content-Type header names no usable boundary. Let your HTTP client set that header.")
        self._sink = sink
        self.fields: list[tuple[str, str]] = []
        self.num_files = 0
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._field: tuple[str, bytearray] | None = None
        self._ended = False
        callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": partial(self._collect, 0),
            "on_header_value": partial(self._collect, 1),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # it wants its own TypedDict

    def write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedRequest("The multipart body is malformed. Let an HTTP library write it.") from error

    def finish(self) -> None:
        if not self._ended:
            raise MalformedRequest("The multipart body ends before its closing boundary. Send it again, whole.")

    def _begin_part(self) -> None:
        self._disposition = b""
        self._field = None

    def _collect(self, which: int, data: bytes, start: int, end: int) -> None:
        self._header[which].extend(data[start:end])

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FILE_FIELD and b"filename" not in options:
            self._field = (name, bytearray())
            return
        if name != FILE_FIELD:
            raise SourceRequired(f"A file came in the field '{name[:64]}'. Put the video into the field 'file'.")
        self.num_files += 1
        if self.num_files > 1:
            raise SourceConflict("The form holds two files. Send one video in a request.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._sink.write(data[start:end])
            return
        self._field[1].extend(data[start:end])
        if len(self._field[1]) > MAX_FIELD_BYTES:
            raise InvalidOption(f"The field '{self._field[0][:64]}' is over {MAX_FIELD_BYTES} bytes. No option is that long.")

    def _end_part(self) -> None:
        if self._field is not None:
            self.fields.append((self._field[0], self._field[1].decode("utf-8", "replace")))
        if len(self.fields) > MAX_FIELDS:
            raise InvalidOption(f"The form has more than {MAX_FIELDS} fields. There are not that many options.")

    def _end(self) -> None:
        self._ended = True
