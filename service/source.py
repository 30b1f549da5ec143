"""An upload, a raw body or a URL becomes one file in the request's private directory, which is deleted afterwards."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.errors import BodyTooLarge, DiskFull, EmptyFile, SourceRequired, UnsupportedMediaType
from service.form import Form

WRITE_BYTES = 1024 * 1024  # collected before a thread writes them: a hop to a thread costs more than a small write
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
    with _private_directory(spool_dir) as directory:
        path = Path(directory) / FILE_NAME
        with _disk_full(), path.open("xb", buffering=0) as file:
            sink = Sink(file)
            form = None if boundary is None else Form(sink, boundary)
            await _read(request, sink, form, max_bytes)
        if form and not form.num_files:
            raise SourceRequired("The form holds no file. Put the video into the field 'file' (curl -F file=@clip.mp4).")
        if not sink.size_bytes:
            raise EmptyFile("The file has no bytes. Check that it was written before it was sent.")
        yield Source(path, sink.size_bytes, sink.digest.hexdigest(), form.fields if form else [])


def _private_directory(spool_dir: Path) -> tempfile.TemporaryDirectory[str]:
    with _disk_full():
        spool_dir.mkdir(mode=0o700, exist_ok=True)  # whoever tidies the system's temporary directory may have taken it
        return tempfile.TemporaryDirectory(dir=spool_dir, prefix="request-")


@contextmanager
def _disk_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise DiskFull("The service has no room left for this upload. Try again later or at another instance.") from error


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


async def _read(request: Request, sink: Sink, form: Form | None, max_bytes: int) -> None:
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
    """Collects the video's bytes; `flush`, to be called in a thread, hashes and writes them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.waiting = bytearray()
        self.digest = hashlib.sha256()
        self.size_bytes = 0  # written

    def write(self, data: bytes) -> None:
        """Collect some."""
        self.waiting += data

    def flush(self) -> None:
        """Hash and write what was collected. Raises OSError where the disk refuses."""
        self.digest.update(self.waiting)
        view = memoryview(self.waiting)
        while view:
            view = view[self._file.write(view) :]
        self.size_bytes += len(self.waiting)
        self.waiting = bytearray()
