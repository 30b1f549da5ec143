"""One request, with an end to its patience."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from model_store.download.web import SourceFailed, Web
from tests.support import loopback


@pytest.fixture
def server() -> Iterator[loopback.Server]:
    with loopback.serve({"/file": loopback.File(b"content")}) as served:
        yield served


def test_answer(server: loopback.Server) -> None:
    response = Web().get(server.url("/file"), {})
    assert response
    with response:
        assert response.read() == b"content"


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
    response = Web().get(server.url("/moved"), {})
    assert response
    with response:
        assert (response.read(), cookies) == (b"there", ["download_warning=1"])


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
    with pytest.raises(SourceFailed, match="unknown url type"):
        Web().get(url, {})
