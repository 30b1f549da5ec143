"""Web pages where files were expected."""

from __future__ import annotations

import pytest

from model_store.page import Page, is_page


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
