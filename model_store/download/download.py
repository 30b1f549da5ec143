"""One source of the manifest becomes one file, whole and checked, under its final name; or it fails and says why."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from model_store.download import hashes
from model_store.download.manifest import Source, is_source
from model_store.download.page import MAX_PAGE_BYTES, Page, is_page
from model_store.download.part import Part
from model_store.download.progress import progress
from model_store.download.web import Answer, BrokeOffError, SourceFailed, Web
from model_store.store import check_room

MAX_BYTES = 4 << 30  # of a file whose size nobody published; the largest that exists has 320 MB
MAX_BREAKS = 5  # of one source in one run
SLOW_BYTES_PER_S = 16_384  # a source slower than this ...
SLOW_S = 30.0  # ... for so long is left for the next: its 305 MiB would take more than five hours


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
        part = Part(self.directory / f"{source.file}.{source.name}.part")
        resumed = part.size() > 0
        self._receive_all(source, part)
        try:
            _check(part.path, source)
        except SourceFailed as error:
            part.forget()
            if not resumed:
                raise
            print(f"{source.file}: {error}; fetching it from the beginning", file=self._out)
            return self.fetch(source)
        os.replace(part.path, final)
        part.forget()
        return final

    def _receive_all(self, source: Source, part: Part) -> None:
        for _ in range(MAX_BREAKS):
            before = part.size()
            try:
                self._receive(source, part)
            except BrokeOffError as error:
                if part.size() <= before:
                    raise SourceFailed(f"the download broke off after {part.size():,} bytes: {error}") from error
                print(f"{source.file}: broke off after {part.size():,} bytes, resuming", file=self._out)
            else:
                return
        raise SourceFailed(f"the download broke off {MAX_BREAKS} times, last after {part.size():,} bytes")

    def _receive(self, source: Source, part: Part) -> None:
        if part.is_whole():
            return
        answer = self._open(source.url, part.resume_headers())
        begun = part.begin(answer) if answer else None
        if answer is None or begun is None:  # there is no rest, or it is another file's: the server's has changed
            if answer:
                answer.close()
            answer = self._open(source.url, {})
            begun = part.begin(answer) if answer else None
        if answer is None or begun is None:
            raise SourceFailed("the server does not send the file from its beginning")
        begin, total = begun
        with contextlib.closing(answer):
            if total not in {None, source.size_bytes or total}:
                part.forget()
                raise SourceFailed(f"expected {source.size_bytes:,} bytes, and the server offers {total:,}")
            check_room(self.directory, (total or source.size_bytes or 0) - begin)
            self._copy(source, answer, part, total)
        if total is not None and part.size() < total:
            raise BrokeOffError(f"the connection was closed and {total:,} bytes had been promised")

    def _open(self, url: str, headers: dict[str, str]) -> Answer | None:
        """The answer that holds the file; Google Drive's question before a large file is answered, once."""
        answer = self._web.get(url, headers)
        page = _page(answer)
        if page and page.confirmed():
            answer = self._web.get(page.confirmed() or url, headers)
            page = _page(answer)
        if page:
            raise SourceFailed(f'expected a file, and a web page came: "{page.title}"')
        return answer

    def _copy(self, source: Source, answer: Answer, part: Part, total: int | None) -> None:
        have = part.size()
        most = total or source.size_bytes or MAX_BYTES
        since, then = self._clock(), have
        with part.path.open("ab") as file, contextlib.closing(progress(self._out, source.file, total, have)) as shown:
            for block in answer.blocks():
                have += len(block)
                if have > most:
                    raise SourceFailed(f"the server sends more than {most:,} bytes")
                file.write(block)
                shown.update(len(block))
                seconds = self._clock() - since
                if seconds >= SLOW_S:
                    if have - then < SLOW_BYTES_PER_S * seconds:
                        raise SourceFailed(f"too slow: {(have - then) / seconds:,.0f} bytes/s over {seconds:.0f} s")
                    since, then = self._clock(), have


def _page(answer: Answer | None) -> Page | None:
    """The web page that came in place of a file, read and closed; None where it is no page."""
    if answer is None or not is_page(answer.headers.get("Content-Type", ""), answer.peek()):
        return None
    content = b""
    with contextlib.closing(answer):
        for block in answer.blocks():
            content += block
            if len(content) >= MAX_PAGE_BYTES:
                break
    return Page(content, answer.url)


def _check(path: Path, source: Source) -> None:
    if source.size_bytes is not None and path.stat().st_size != source.size_bytes:
        raise SourceFailed(f"expected {source.size_bytes:,} bytes, and {path.stat().st_size:,} came")
    if source.hash is not None:
        kind, expected = source.hash
        found = hashes.of_file(path, kind)
        if found != expected:
            raise SourceFailed(f"expected {kind} {expected}, and {found} came")
