"""A web page where a file was expected: Google Drive's question before a large file, or a refusal."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

MAX_PAGE_BYTES = 1 << 20


def is_page(content_type: str, beginning: bytes) -> bool:
    """Whether an answer is HTML: by its type, or by its first bytes where the type lies. No weights begin like this."""
    start = beginning.lstrip()[:15].lower()
    return content_type.partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"} or start.startswith(
        (b"<!doctype html", b"<html")
    )


class Page(HTMLParser):
    """Attributes: ``title``, what the page calls itself; `confirmed`, where its download button leads."""

    def __init__(self, content: bytes, url: str) -> None:
        super().__init__()
        self.title = ""
        self._url = url
        self._in_title = False
        self._form: str | None = None
        self._fields: dict[str, str] = {}
        self._link: str | None = None
        self.feed(content[:MAX_PAGE_BYTES].decode("utf-8", "replace"))
        self.title = " ".join(self.title.split())[:120] or "without a title"

    def confirmed(self) -> str | None:
        """The address behind Google Drive's "download anyway": a form today, a link until 2022; None without either."""
        if self._form is not None and self._fields:
            return urljoin(self._url, self._form) + "?" + urlencode(self._fields)
        return urljoin(self._url, self._link) if self._link else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by HTMLParser for each tag."""
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "title":
                self._in_title = True
            case "form" if given.get("id") == "download-form":
                self._form = given.get("action", "").split("?")[0]
                self._fields = {key: values[0] for key, values in parse_qs(urlsplit(given.get("action", "")).query).items()}
            case "input" if self._form is not None and given.get("type") == "hidden":
                self._fields[given.get("name", "")] = given.get("value", "")
            case "a" if "confirm" in parse_qs(urlsplit(given.get("href", "")).query):
                self._link = given["href"]

    def handle_endtag(self, tag: str) -> None:
        """Called by HTMLParser for each closing tag."""
        self._in_title = self._in_title and tag != "title"

    def handle_data(self, data: str) -> None:
        """Called by HTMLParser for the text between tags."""
        if self._in_title:
            self.title += data
