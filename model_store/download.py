"""One source of the manifest becomes one file, whole and checked, under its final name; or it fails and says why."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from model_store import hashes
from model_store.manifest import Source, is_source
from model_store.page import MAX_PAGE_BYTES, Page, is_page
from model_store.progress import Progress
from model_store.store import check_room
from model_store.web import Response, SourceFailed, Web

BLOCK_BYTES = 1 << 18
MAX_BYTES = 4 << 30  # of a file whose size nobody published; the largest that exists has 320 MB
MAX_RESUMES = 5  # of one source in one run
SLOW_BYTES_PER_S = 16_384  # a source slower than this ...
SLOW_S = 30.0  # ... for so long is left for the next: its 305 MiB would take more than five hours


class _BrokeOff(Exception):
    """The connection ended before the file did."""


class Downloader:
    """Fetches sources into one directory. What it says goes to ``out``, line by line."""

    def __init__(self, directory: Path, web: Web, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory, self._web, self._out, self._clock = directory, web, out, clock

    def have(self, source: Source) -> bool:
        """Whether the source's file is there and, as far as its publisher lets one tell, right."""
        path = self.directory / source.file
        return path.is_file() and (source.hash is None or is_source(path, source))

    def fetch(self, source: Source) -> Path:
        """The source's file. A download that broke off, in this run or an earlier one, is taken up where it ended.

        Raises SourceFailed where the source does not deliver it, StoreError where the disk is too full, OSError.
        """
        final = self.directory / source.file
        if self.have(source):
            return final
        self.directory.mkdir(parents=True, exist_ok=True)
        part = _Part(self.directory / f"{source.file}.{source.name}.part")
        self._receive_all(source, part)
        try:
            _check(part.path, source)
        except SourceFailed:
            part.forget()
            raise
        os.replace(part.path, final)
        part.forget()
        return final

    def _receive_all(self, source: Source, part: _Part) -> None:
        for _ in range(MAX_RESUMES):
            before = part.size()
            try:
                self._receive(source, part)
            except (_BrokeOff, OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                    raise  # the disk's, not the network's
                if part.size() <= before:
                    raise SourceFailed(f"the download broke off after {part.size():,} bytes: {error or 'timed out'}") from error
                print(f"{source.file}: broke off after {part.size():,} bytes, resuming", file=self._out)
            else:
                return
        raise SourceFailed(f"the download broke off {MAX_RESUMES} times, last after {part.size():,} bytes")

    def _receive(self, source: Source, part: _Part) -> None:
        if part.is_whole():
            return
        response = self._open(source.url, part.resume_headers())
        if response is None:  # nothing after what we have, and what we have is not the whole: another file by now
            part.forget()
            response = self._open(source.url, {})
        if response is None:
            raise SourceFailed("the server refuses to send the file from its beginning (416)")
        with contextlib.closing(response):
            begin, total = part.agree(response)
            if source.size_bytes is not None and total is not None and total != source.size_bytes:
                part.forget()
                raise SourceFailed(f"expected {source.size_bytes:,} bytes, and the server offers {total:,}")
            check_room(self.directory, (total or source.size_bytes or 0) - begin)
            self._copy(source, response, part, total)
        if total is not None and part.size() < total:
            raise _BrokeOff(f"the connection closed, {total:,} bytes were promised")

    def _open(self, url: str, headers: dict[str, str]) -> Response | None:
        """The answer that holds the file; Google Drive's question before a large file is answered once."""
        for asked_before in (False, True):
            response = self._web.get(url, headers)
            if response is None or not is_page(response.headers.get_content_type(), response.peek(64)):
                return response
            with contextlib.closing(response):
                page = Page(response.read(MAX_PAGE_BYTES), response.url)
            confirmed = page.confirmed()
            if confirmed is None or asked_before:
                raise SourceFailed(f'expected a file, and a web page came: "{page.title}"')
            url = confirmed
        raise AssertionError("unreachable: the second round returns or raises")

    def _copy(self, source: Source, response: Response, part: _Part, total: int | None) -> None:
        had = have = part.size()
        progress = Progress(self._out, source.file, total, had, self._clock)
        since, then = self._clock(), had
        with part.path.open("ab") as file:
            while block := response.read1(BLOCK_BYTES):
                file.write(block)
                have += len(block)
                if have > (total or source.size_bytes or MAX_BYTES):
                    raise SourceFailed(
                        f"the server sends more than the {total or source.size_bytes or MAX_BYTES:,} bytes expected"
                    )
                progress.update(have)
                now = self._clock()
                if now - since >= SLOW_S:
                    if have - then < SLOW_BYTES_PER_S * (now - since):
                        raise SourceFailed(f"too slow: {(have - then) / (now - since):,.0f} bytes/s over {now - since:.0f} s")
                    since, then = now, have
        progress.end(have)


class _Part:
    """A download under its temporary name, and beside it what its server said of it: total size and validator.

    Each source has its own, so that never half of one file is continued with half of another.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._notes = path, path.with_name(path.name + ".json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def is_whole(self) -> bool:
        return 0 < self.size() == self._read().get("total")

    def resume_headers(self) -> dict[str, str]:
        """Asks for the rest, if the file is still the same; for everything where nobody could tell."""
        validator = self._read().get("validator")
        if not self.size() or not validator:
            return {}
        return {"Range": f"bytes={self.size()}-", "If-Range": str(validator)}

    def agree(self, response: Response) -> tuple[int, int | None]:
        """First byte that the response sends, and the whole file's size; what we have is cut to fit."""
        begin, total = 0, response.headers.get("Content-Length")
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            begin = int(span.split("-")[0]) if span.split("-")[0].isdigit() else -1
        size = int(total) if total and total.isdigit() else None
        notes = self._read()
        validator = response.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # If-Range takes no weak ones
            validator = response.headers.get("Last-Modified", "")
        if begin and (begin != self.size() or size != notes.get("total") or validator != notes.get("validator")):
            self.forget()
            raise _BrokeOff("the server continued another file than the one begun; run it again")
        if not begin:
            self.path.write_bytes(b"")
        self._notes.write_text(json.dumps({"total": size, "validator": validator}), encoding="utf-8")
        return begin, size

    def _read(self) -> dict[str, object]:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # none yet, or cut off by a kill: begin again
            return {}
        return notes if isinstance(notes, dict) else {}


def _check(path: Path, source: Source) -> None:
    if source.size_bytes is not None and path.stat().st_size != source.size_bytes:
        raise SourceFailed(f"expected {source.size_bytes:,} bytes, and {path.stat().st_size:,} came")
    if source.hash is not None:
        kind, expected = source.hash
        found = hashes.of_file(path, kind)
        if found != expected:
            raise SourceFailed(f"expected {kind} {expected}, and {found} came")
