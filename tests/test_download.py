"""Downloads from servers that break off, lie, ask questions, or serve something else."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import loopback
from model_store import download
from model_store.download import Downloader
from model_store.manifest import Source
from model_store.store import NoRoom
from model_store.web import SourceFailed, Web

CONTENT = bytes(range(251)) * 2000  # 502,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Case:
    """A server, a directory, a source at /w and what is said while it is fetched."""

    def __init__(self, server: loopback.Server, directory: Path) -> None:
        self.server, self.directory, self.out = server, directory, io.StringIO()
        self.clock: Callable[[], float] = lambda: 0.0

    def source(self, **changes: Any) -> Source:
        given = {"name": "here", "file": "w.h5", "url": self.server.url("/w"), "licence": "none", "what": "weights"}
        return Source.model_validate({**given, "hash": ("sha256", SHA256), **changes})

    def fetch(self, **changes: Any) -> Path:
        return Downloader(self.directory, Web(), self.out, self.clock).fetch(self.source(**changes))

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.server.asked]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with loopback.serve({"/w": loopback.File(CONTENT)}) as server:
        yield Case(server, tmp_path)


def file_of(case: Case) -> loopback.File:
    file = case.server.files["/w"]
    assert isinstance(file, loopback.File)
    return file


def test_whole_file_and_nothing_else(case: Case) -> None:
    path = case.fetch()
    assert path.read_bytes() == CONTENT
    assert case.names() == ["w.h5"]
    assert "0.5 of 0.5 MiB" in case.out.getvalue()


def test_file_that_is_there_and_right_is_not_fetched_again(case: Case) -> None:
    case.fetch()
    case.fetch()
    assert len(case.server.asked) == 1


def test_file_that_is_there_and_wrong_is_replaced(case: Case) -> None:
    (case.directory / "w.h5").write_bytes(b"half")
    assert case.fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"v1"', None, 'W/"weak"'])
def test_broken_download_is_resumed_at_once(case: Case, etag: str | None) -> None:
    file_of(case).etag, file_of(case).break_at = etag, [100_000, 50_000]
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert "broke off after 100,000 bytes" in case.out.getvalue()


def test_broken_download_is_resumed_by_the_next_run(case: Case) -> None:
    file_of(case).break_at = [100_000, 0]
    with pytest.raises(SourceFailed, match="broke off after 100,000 bytes"):
        case.fetch()
    assert not (case.directory / "w.h5").exists()
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None, "bytes=100000-", "bytes=100000-"]


def test_server_that_refuses_ranges_sends_all_again(case: Case) -> None:
    file_of(case).ranges, file_of(case).break_at = False, [100_000]
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None, "bytes=100000-"]


def test_file_that_changed_meanwhile_is_begun_again(case: Case) -> None:
    case.server.files["/w"] = loopback.File(b"x" * 300_000, etag='"old"', break_at=[100_000, 0])
    with pytest.raises(SourceFailed):
        case.fetch()
    case.server.files["/w"] = loopback.File(CONTENT)
    assert case.fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("begun", [400_000, 600_000])
def test_changed_file_without_validator_is_told_by_its_size(case: Case, begun: int) -> None:
    """Also where it has become shorter than what is there: the server then says 416."""
    case.server.files["/w"] = loopback.File(b"x" * 700_000, etag=None, break_at=[begun, 0])
    with pytest.raises(SourceFailed):
        case.fetch()
    case.server.files["/w"] = loopback.File(CONTENT, etag=None)
    assert case.fetch().read_bytes() == CONTENT


def test_run_killed_before_renaming_needs_no_server(case: Case) -> None:
    (case.directory / "w.h5.here.part").write_bytes(CONTENT)
    (case.directory / "w.h5.here.part.json").write_text(f'{{"total": {len(CONTENT)}, "validator": ""}}')
    assert case.fetch().read_bytes() == CONTENT
    assert case.server.asked == []


def test_two_sources_of_one_file_are_never_mixed(case: Case) -> None:
    case.server.files["/other"] = loopback.File(b"y" * len(CONTENT), break_at=[100_000, 0])
    with pytest.raises(SourceFailed):
        case.fetch(name="other", url=case.server.url("/other"))
    assert case.fetch().read_bytes() == CONTENT


def test_truncated_for_good(case: Case) -> None:
    file_of(case).break_at = [100_000] + [0] * 9
    with pytest.raises(SourceFailed, match=r"broke off after 100,000 bytes: .* 502,000 bytes had been promised"):
        case.fetch()


def test_truncated_without_a_length_is_told_by_size_or_hash(case: Case) -> None:
    file_of(case).length, file_of(case).break_at = False, [100_000]
    with pytest.raises(SourceFailed, match="expected 502,000 bytes, and 100,000 came"):
        case.fetch(size_bytes=len(CONTENT))


def test_wrong_hash_is_refused_and_forgotten(case: Case) -> None:
    with pytest.raises(SourceFailed, match=f"expected md5 {'0' * 32}, and {hashlib.md5(CONTENT).hexdigest()} came"):  # noqa: S324
        case.fetch(hash=("md5", "0" * 32))
    assert case.names() == []


def test_wrong_size_is_refused_before_the_download(case: Case) -> None:
    with pytest.raises(SourceFailed, match="expected 1,000 bytes, and the server offers 502,000"):
        case.fetch(size_bytes=1000)
    assert case.names() == []


def test_server_that_sends_too_much(case: Case) -> None:
    file_of(case).length = False
    with pytest.raises(SourceFailed, match="more than 1,000 bytes"):
        case.fetch(size_bytes=1000)


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_page_in_place_of_a_file(case: Case, content_type: str) -> None:
    page = b"\n<!DOCTYPE html><html><head><title>Too many\n users</title></head></html>"
    case.server.files["/w"] = loopback.File(page, content_type)
    with pytest.raises(SourceFailed, match='a web page came: "Too many users"'):
        case.fetch()
    assert case.names() == []


DRIVE = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="download-form" action="/download" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="1rlZ"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="a&amp;b"></form></body></html>"""
OLD_DRIVE = '<html><a id="uc-download-link" href="/download?id=1rlZ&amp;confirm=t&amp;uuid=a%26b">Download anyway</a></html>'


@pytest.mark.parametrize("page", [DRIVE, OLD_DRIVE])
def test_drive_asks_before_large_files(case: Case, page: str) -> None:
    case.server.files["/w"] = loopback.File(page.encode(), "text/html; charset=utf-8", ranges=False)
    case.server.files["/download"] = loopback.File(CONTENT, break_at=[100_000])
    assert case.fetch().read_bytes() == CONTENT
    asked = [path for path, _ in case.server.asked]
    assert asked == ["/w", "/download?id=1rlZ&confirm=t&uuid=a%26b"] * 2
    assert case.ranges[3] == "bytes=100000-"


def test_drive_asks_only_once(case: Case) -> None:
    case.server.files["/w"] = case.server.files["/download"] = loopback.File(DRIVE.encode(), "text/html")
    with pytest.raises(SourceFailed, match="Virus scan warning"):
        case.fetch()
    assert len(case.server.asked) == 2


def test_slow_source_is_left(case: Case) -> None:
    looks = iter(range(10**6))
    case.clock = lambda: next(looks) * 3600.0  # an hour between any two looks at the clock
    with pytest.raises(SourceFailed, match=r"too slow: [\d,]+ bytes/s over"):
        case.fetch()


def test_source_that_falls_silent_is_left(case: Case) -> None:
    quiet = threading.Event()

    def silent(request: loopback.Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x" * 10)
        quiet.wait()

    case.server.files["/w"] = silent
    with pytest.raises(SourceFailed, match="broke off after 10 bytes: timed out"):
        Downloader(case.directory, Web(read_s=0.05), case.out).fetch(case.source())
    quiet.set()


def test_full_disk_is_said_before(case: Case) -> None:
    def huge(request: loopback.Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(10**18))
        request.end_headers()

    case.server.files["/w"] = huge
    with pytest.raises(NoRoom, match="MiB free. Make room"):
        case.fetch()
    assert (case.directory / "w.h5.here.part").read_bytes() == b""


def test_unreadable_notes_begin_again(case: Case) -> None:
    (case.directory / "w.h5.here.part").write_bytes(b"?" * 1000)
    (case.directory / "w.h5.here.part.json").write_text('{"tot')
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None]


def test_have_without_a_published_hash(case: Case) -> None:
    """What lies under its final name was whole when it was renamed."""
    downloader = Downloader(case.directory, Web(), case.out)
    assert not downloader.have(case.source(hash=None))
    case.fetch(hash=None)
    assert downloader.have(case.source(hash=None))
    assert download.MAX_BREAKS > 1
