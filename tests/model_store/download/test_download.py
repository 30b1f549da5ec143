"""Downloads from servers that lie, stall, or send too much or too little."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.download import download
from model_store.download.download import Downloader
from model_store.download.web import SourceFailed, Web
from model_store.store import NoRoom
from tests.support import loopback
from tests.support.downloads import CONTENT, Case, serving


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with serving(tmp_path) as served:
        yield served


def test_whole_file_and_nothing_else(case: Case) -> None:
    path = case.fetch()
    assert path.read_bytes() == CONTENT
    assert case.names() == ["w.h5"]
    assert "w.h5: 100% 490k/490k" in case.out.getvalue()


def test_file_that_is_there_and_right_is_not_fetched_again(case: Case) -> None:
    case.fetch()
    case.fetch()
    assert len(case.server.asked) == 1


def test_file_that_is_there_and_wrong_is_replaced(case: Case) -> None:
    (case.directory / "w.h5").write_bytes(b"half")
    assert case.fetch().read_bytes() == CONTENT


def test_truncated_for_good(case: Case) -> None:
    case.file.break_at = [100_000] + [0] * 9
    with pytest.raises(SourceFailed, match=r"broke off after 100,000 bytes: "):
        case.fetch()


def test_truncated_without_a_length_is_told_by_size_or_hash(case: Case) -> None:
    case.file.length, case.file.break_at = False, [100_000]
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
    case.file.length = False
    with pytest.raises(SourceFailed, match="more than 1,000 bytes"):
        case.fetch(size_bytes=1000)


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
        request.wfile.write(b"x")

    case.server.files["/w"] = huge
    with pytest.raises(NoRoom, match=r"[kM]B free\. Make room"):
        case.fetch()
    assert (case.directory / "w.h5.here.part").read_bytes() == b""


def test_have_without_a_published_hash(case: Case) -> None:
    """What lies under its final name was whole when it was renamed."""
    downloader = Downloader(case.directory, Web(), case.out)
    assert not downloader.have(case.source(hash=None))
    case.fetch(hash=None)
    assert downloader.have(case.source(hash=None))
    assert download.MAX_BREAKS > 1
