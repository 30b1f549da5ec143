"""Web pages where files were expected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.download.page import Page, is_page
from model_store.download.web import SourceFailed
from tests.support import loopback
from tests.support.downloads import CONTENT, Case, serving


@pytest.mark.parametrize(
    ("content_type", "beginning", "page"),
    [
        ("text/html", b"", True),
        ("application/octet-stream", b" \r\n<!doctype HTML><p>", True),
        ("application/octet-stream", b"<html lang=en>", True),
        ("application/octet-stream", b"\x89HDF\r\n\x1a\n", False),
        ("text/plain", b"boomerang\nboxing\n", False),
    ],
)
def test_is_page(content_type: str, beginning: bytes, page: bool) -> None:  # noqa: FBT001
    assert is_page(content_type, beginning) is page


def test_form_keeps_its_address_and_its_fields() -> None:
    content = (
        b'<form id="download-form" action="https://elsewhere.test/get?export=download"><input type="hidden" name="a" value="1 2">'
    )
    assert Page(content, "http://here.test/uc?id=1").confirmed() == "https://elsewhere.test/get?export=download&a=1+2"


def test_link_is_completed() -> None:
    page = Page(b'<a href="/uc?confirm=Ab_1&id=9">Download anyway</a>', "http://here.test/uc?id=9")
    assert page.confirmed() == "http://here.test/uc?confirm=Ab_1&id=9"


def test_other_pages_lead_nowhere() -> None:
    page = Page(
        b'<title>Sign\n in</title><form action="/login"><input type="hidden" name="x"></form><a href="/help">', "http://h.test/"
    )
    assert page.confirmed() is None
    assert page.title == "Sign in"
    assert Page(b"\xff\xfe", "http://h.test/").title == "without a title"


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with serving(tmp_path) as served:
        yield served


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
