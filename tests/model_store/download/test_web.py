"""One request, with an end to its patience."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import httpx2
import pytest

from model_store.download.web import Answer, SourceFailed, Web
from tests.support import loopback


@pytest.fixture
def server() -> Iterator[loopback.Server]:
    with loopback.serve({"/file": loopback.File(b"content")}) as served:
        yield served


def content(answer: Answer | None) -> bytes:
    assert answer
    with contextlib.closing(answer):
        return b"".join(answer.blocks())


def test_answer(server: loopback.Server) -> None:
    assert content(Web().get(server.url("/file"), {})) == b"content"


def test_a_look_at_the_beginning_takes_nothing_away(server: loopback.Server) -> None:
    answer = Web().get(server.url("/file"), {})
    assert answer
    assert answer.peek().startswith(b"c")
    assert content(answer) == b"content"


def test_redirections_are_followed_and_cookies_kept(server: loopback.Server) -> None:
    cookies = []

    def elsewhere(request: loopback.Request) -> None:
        request.send_response(302)
        request.send_header("Location", "/there")
        request.send_header("Set-Cookie", "download_warning=1; Path=/")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def there(request: loopback.Request) -> None:
        cookies.append(request.headers["Cookie"])
        request.serve(loopback.File(b"there"))

    server.files |= {"/moved": elsewhere, "/there": there}
    assert content(Web().get(server.url("/moved"), {})) == b"there"
    assert cookies == ["download_warning=1"]


def test_error_answers_are_named(server: loopback.Server) -> None:
    with pytest.raises(SourceFailed, match=r"127.0.0.1:\d+ answered 404 Not Found"):
        Web().get(server.url("/nothing"), {})


def test_nothing_in_the_range_is_none(server: loopback.Server) -> None:
    assert Web().get(server.url("/file"), {"Range": "bytes=100-"}) is None


def test_dead_host_is_tried_once() -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
        web = Web()
        with pytest.raises(SourceFailed, match=r"cannot be reached: .*refused"):
            web.get(url, {})
    with pytest.raises(SourceFailed, match=r"cannot be reached: .*refused"):
        web.get("http://" + url.split("/")[2] + "/other", {})


def test_host_that_never_answers(server: loopback.Server) -> None:
    quiet = threading.Event()

    def never(_: loopback.Request) -> None:
        quiet.wait()

    server.files["/never"] = never
    with pytest.raises(SourceFailed, match=r"cannot be reached: no answer in 0.05 s"):
        Web(answer_s=0.05).get(server.url("/never"), {})
    quiet.set()


def test_not_http(server: loopback.Server) -> None:
    def odd(request: loopback.Request) -> None:
        request.wfile.write(b"\x00\x01 nonsense\r\n\r\n")

    server.files["/odd"] = odd
    with pytest.raises(SourceFailed, match="cannot be reached"):
        Web().get(server.url("/odd"), {})


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://127.0.0.1/x"])
def test_only_http(url: str) -> None:
    with pytest.raises(SourceFailed, match=r"cannot be reached: Request URL .* protocol"):
        Web().get(url, {})


def test_proxies_of_the_environment_are_used(server: loopback.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert content(Web().get("http://elsewhere.invalid/file", {})) == b"content"
    assert server.asked[0][0] == "http://elsewhere.invalid/file"


def test_a_body_is_asked_for_as_it_is(server: loopback.Server) -> None:
    """A compressed one could not be taken up in the middle, nor compared with the size that the server states."""
    encodings = []

    def packed(request: loopback.Request) -> None:
        encodings.append(request.headers["Accept-Encoding"])
        request.serve(loopback.File(b"as it is"))

    server.files["/packed"] = packed
    assert content(Web().get(server.url("/packed"), {})) == b"as it is"
    assert encodings == ["identity"]


def test_https_that_leads_to_http_is_refused() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme == "https":
            return httpx2.Response(302, headers={"Location": "http://elsewhere.test/w"})
        return httpx2.Response(200, content=b"changed on the way")

    web = Web(transport=httpx2.MockTransport(answer))
    with pytest.raises(SourceFailed, match="leads from https to plain http"):
        web.get("https://safe.test/w", {})
    http = web.get("http://mirror.test/w", {})
    assert http is not None
    assert http.url == "http://mirror.test/w"
