"""Broken downloads go on where they ended, and never with half of another file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.download.web import SourceFailed
from tests.support import loopback
from tests.support.downloads import CONTENT, Case, serving


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with serving(tmp_path) as served:
        yield served


@pytest.mark.parametrize("etag", ['"v1"', None, 'W/"weak"'])
def test_broken_download_is_resumed_at_once(case: Case, etag: str | None) -> None:
    case.file.etag, case.file.break_at = etag, [100_000, 50_000]
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert "broke off after 100,000 bytes" in case.out.getvalue()


def test_broken_download_is_resumed_by_the_next_run(case: Case) -> None:
    case.file.break_at = [100_000, 0]
    with pytest.raises(SourceFailed, match="broke off after 100,000 bytes"):
        case.fetch()
    assert not (case.directory / "w.h5").exists()
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None, "bytes=100000-", "bytes=100000-"]


def test_server_that_refuses_ranges_sends_all_again(case: Case) -> None:
    case.file.ranges, case.file.break_at = False, [100_000]
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


def test_unreadable_notes_begin_again(case: Case) -> None:
    (case.directory / "w.h5.here.part").write_bytes(b"?" * 1000)
    (case.directory / "w.h5.here.part.json").write_text('{"tot')
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges == [None]


def test_beginning_that_the_disk_has_spoilt_is_fetched_again(case: Case) -> None:
    """Power fails, and what was written is zeros: only the hash shows it."""
    case.file.break_at = [100_000, 0]
    with pytest.raises(SourceFailed):
        case.fetch()
    (case.directory / "w.h5.here.part").write_bytes(bytes(100_000))
    assert case.fetch().read_bytes() == CONTENT
    assert case.ranges[2:] == ["bytes=100000-", None]
