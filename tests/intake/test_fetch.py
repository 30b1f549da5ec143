"""What is fetched, what is refused, that only checked addresses are asked, and that nothing stays open."""

from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from service.errors import BodyTooLarge, ServiceError, UrlFetchFailed, UrlFetchTimeout, UrlForbidden
from service.intake import fetch_policy
from service.intake.fetch import MAX_LOOK_UPS, MAX_REDIRECTS, Fetcher, LookUps
from service.intake.fetch_policy import FetchPolicy
from tests.support.raw_server import Answer, answer, ended, endless, serving

HERE = "127.0.0.77"  # stands for a public address: what is private and what special must be refused as it is anywhere
NAME = "clips.example"
BODY = bytes(range(256)) * 1000
TLS = ssl.create_default_context()  # made once: it reads some hundred certificates
FILE = answer(BODY, content_type="video/mp4")
REFUSED = [
    "127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "[::]", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1",
    "0.0.0.0",  # noqa: S104
    "100.64.0.1", "2130706433", "0x7f000001", "127.1", "0", "017700000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
    "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
    "[ff02::1]", "224.0.0.1", "255.255.255.255", "192.0.0.192", "192.88.99.1", "168.63.129.16", "[3fff::1]", "[5f00::1]",
]  # fmt: skip


def is_public(address: str) -> bool:
    return address == HERE or fetch_policy.is_public(address)


@dataclass
class Names:
    """A name server: each look-up of a name gives its next answer, the last one again and again; others go to the system."""

    answers: dict[str, list[list[str]]] = field(default_factory=lambda: {NAME: [[HERE]]})
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> list[str]:
        """Look one up."""
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            return await LookUps()(host)
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass
class Run:
    """What came of a URL: the bytes, or the error, and what the server and the name server saw."""

    requests: list[str]
    names: Names
    body: bytes = b""
    error: ServiceError | None = None


async def _run(answers: Mapping[str, Answer], url: str, names: Names, tls: Any, policy: dict[str, Any]) -> Run:
    server_tls, client_tls = tls
    async with serving(answers, HERE, server_tls) as server:
        limits = {"max_bytes": 10_000_000, "timeout_s": 60.0, "allowed_ports": frozenset({80, server.port}), **policy}
        fetcher = Fetcher(FetchPolicy(**limits), names, is_public, client_tls or TLS)
        run, received = Run(server.requests, names), bytearray()

        async def write(chunk: bytes) -> None:
            received.extend(chunk)

        for path, each in answers.items():  # a redirect has to know the port, which is not known before
            if isinstance(each, bytes):
                server.answers = {**server.answers, path: each.replace(b"PORT", str(server.port).encode())}
        try:
            await fetcher.fetch(url.replace("PORT", str(server.port)), write)
        except ServiceError as error:
            run.error = error
        run.body = bytes(received)
        return run


def fetched(
    answers: Mapping[str, Answer],
    url: str = f"http://{NAME}:PORT/clip",
    names: Names | None = None,
    tls: Any = (None, None),
    **policy: Any,
) -> Run:
    """Fetch the URL from a server with these answers by path. No connection may be open afterwards."""
    return asyncio.run(_run(answers, url, names or Names(), tls, policy))


def one(reply: Answer, **policy: Any) -> Run:
    """Fetch a URL that is answered so."""
    return fetched({"/clip": reply}, **policy)


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"elsewhere", status, location=location)


def error_of(run: Run, kind: type[ServiceError]) -> str:
    """The sentence of the error, which must be of this kind and carry nothing of another's."""
    assert type(run.error) is kind, run.error
    assert run.error.__cause__ is None
    return str(run.error)


def test_a_url_gives_its_bytes() -> None:
    run = one(FILE)
    assert (run.error, run.body) == (None, BODY)
    head, *lines = run.requests[0].splitlines()
    assert head == "GET /clip HTTP/1.1"
    assert lines[0].startswith(f"Host: {NAME}:")
    assert lines[1:-1] == ["User-Agent: c3d-service", "Accept: */*", "Accept-Encoding: identity", "Connection: close"]


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"the whole file"),
        answer(b"e\r\nthe whole file\r\n0\r\n\r\n", transfer_encoding="chunked", content_length=""),
        answer(b"the whole file", content_encoding="identity", content_type=""),
        answer(b"the whole file", content_type="application/octet-stream"),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(b"the whole file"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + answer(b"the whole file"),
        ended,
    ],
)
def test_a_file_may_come_in_any_way_that_http_knows(reply: Answer) -> None:
    run = one(reply)
    assert (run.error, run.body) == (None, b"the whole file")


def test_path_and_query_go_to_the_host_as_they_were_given() -> None:
    assert fetched({"/a%20b/%2e?x=%2F&y": FILE}, f"http://{NAME}:PORT/a%20b/%2e?x=%2F&y#z").body == BODY


def test_a_fetcher_that_is_off_fetches_nothing() -> None:
    run = one(FILE, enabled=False)
    assert "Send the file" in error_of(run, UrlForbidden)
    assert (run.requests, run.names.asked) == ([], [])


@pytest.mark.parametrize("host", REFUSED)
def test_private_and_special_addresses_are_refused(host: str) -> None:
    run = fetched({"/": FILE}, f"http://{host}/")
    assert error_of(run, UrlForbidden)
    assert run.requests == []


@pytest.mark.parametrize("host", [*REFUSED, "user@clips.example", "clips.example:22"])
def test_they_are_refused_as_the_target_of_a_redirect_too(host: str) -> None:
    run = one(redirect(f"http://{host}/"))
    assert error_of(run, UrlForbidden)
    assert len(run.requests) == 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://clips.example/", "http://[", "javascript:x"])
def test_a_redirect_leads_to_http_only(location: str) -> None:
    assert error_of(one(redirect(location)), UrlForbidden)


@pytest.mark.parametrize("found", [[HERE, "10.0.0.1"], ["::1", HERE], [HERE, "not an address"], [HERE] * 5 + ["169.254.169.254"]])
def test_one_address_that_is_not_public_condemns_the_name(found: list[str]) -> None:
    run = fetched({"/clip": FILE}, names=Names({NAME: [found]}))
    assert NAME in error_of(run, UrlForbidden)
    assert run.requests == []


def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_asked() -> None:
    run = fetched({"/clip": FILE}, names=Names({NAME: [[HERE], ["127.0.0.1"]]}))
    assert (run.body, run.names.asked) == (BODY, [NAME])


def test_each_hop_is_looked_up_and_checked_again() -> None:
    answers = {"/clip": redirect("/b"), "/b": redirect("http://other.example:PORT/c"), "/c": FILE}
    run = fetched(answers, names=Names({NAME: [[HERE]], "other.example": [[HERE]]}))
    assert (run.body, run.names.asked) == (BODY, [NAME, NAME, "other.example"])
    run = fetched({"/clip": redirect("/b"), "/b": FILE}, names=Names({NAME: [[HERE], ["10.0.0.1"]]}))
    assert error_of(run, UrlForbidden)
    assert len(run.requests) == 1


def test_an_address_that_takes_no_connection_is_passed_over() -> None:
    run = fetched({"/clip": FILE}, names=Names({NAME: [["127.0.0.78", HERE]]}), allow_private=True)
    assert run.body == BODY


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_private_networks_can_be_opened(host: str) -> None:
    async def fetch() -> bytes:
        received = bytearray()

        async def write(chunk: bytes) -> None:
            received.extend(chunk)

        async with serving({"/clip": FILE}, "127.0.0.1") as server:
            policy = FetchPolicy(10_000_000, allowed_ports=frozenset({server.port}), allow_private=True)
            await Fetcher(policy, look_up_v4, tls=TLS).fetch(f"http://{host}:{server.port}/clip", write)
        return bytes(received)

    async def look_up_v4(name: str) -> list[str]:
        return [address for address in await LookUps()(name) if ":" not in address]

    assert asyncio.run(fetch()) == BODY


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::]", "224.0.0.1", "100.100.100.200", "[fd00:ec2::254]"])
def test_open_private_networks_leave_link_local_and_metadata_closed(host: str) -> None:
    assert error_of(fetched({}, f"http://{host}/", allow_private=True), UrlForbidden)


def test_only_named_hosts_are_asked_and_redirected_to() -> None:
    names = Names({"a.example": [[HERE]], "b.example": [[HERE]]})
    answers = {"/clip": redirect("http://b.example:PORT/b"), "/b": FILE}
    url = "http://a.example:PORT/clip"
    assert fetched(answers, url, names, allowed_hosts=frozenset({"a.example", "b.example"})).body == BODY
    assert error_of(fetched(answers, url, names, allowed_hosts=frozenset({"a.example"})), UrlForbidden)


@pytest.mark.parametrize("found", [[], OSError(errno.EIO, "s3cret"), UnicodeError("s3cret")])
def test_a_host_that_is_not_found(found: Any) -> None:
    async def resolve(_: str) -> list[str]:
        if isinstance(found, Exception):
            raise found
        return list(found)

    run = fetched({"/clip": FILE}, names=resolve)  # type: ignore[arg-type]
    assert error_of(run, UrlFetchFailed) == f"The host '{NAME}' was not found. Check its spelling."


def test_a_host_that_takes_no_connection() -> None:
    run = fetched({"/clip": FILE}, names=Names({NAME: [["127.0.0.78"]]}), allow_private=True)
    assert "refused the connection" in error_of(run, UrlFetchFailed)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    run = fetched({"/clip": redirect("/b", f"{status} Elsewhere"), "/b": FILE})
    assert run.body == BODY
    assert [head.split()[:2] for head in run.requests] == [["GET", "/clip"], ["GET", "/b"]]


def test_redirects_are_followed_three_times_and_no_more() -> None:
    chain = {f"/{hop}": redirect(f"/{hop + 1}") for hop in range(MAX_REDIRECTS + 1)}
    answers = {"/clip": redirect("/1"), **chain, f"/{MAX_REDIRECTS}": FILE}
    assert fetched(answers).body == BODY
    run = fetched({**answers, "/clip": redirect("/0")})
    assert "more than 3 times" in error_of(run, UrlFetchFailed)
    assert len(run.requests) == 4


def test_a_redirect_loop_ends() -> None:
    assert "more than 3 times" in error_of(one(redirect("/clip")), UrlFetchFailed)


def test_no_cookie_and_no_referrer_is_sent_on() -> None:
    run = fetched({"/clip": answer(b"", "302 Found", location="/b", set_cookie="a=b; Path=/"), "/b": FILE})
    assert run.body == BODY
    assert not {"cookie", "referer"} & {line.partition(":")[0].lower() for line in run.requests[1].splitlines()}


@pytest.mark.parametrize(
    "status", ["201", "204", "206", "300", "302", "304", "401", "403", "404", "407", "500", "503", "599", "999"]
)
def test_any_status_but_200_is_named(status: str) -> None:
    run = one(answer(b"", f"{status} s3cret", www_authenticate="Basic"))
    assert error_of(run, UrlFetchFailed) == f"'{NAME}' answered with status {status} instead of a file."


@pytest.mark.parametrize("media_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_called_one(media_type: str) -> None:
    run = one(answer(b"<html>", content_type=media_type, content_encoding="gzip"))
    assert "sent a web page, not a video" in error_of(run, UrlFetchFailed)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "zstd", "identity, gzip", "aws-chunked,gzip"])
def test_what_is_compressed_is_refused_unread(encoding: str) -> None:
    run = one(answer(gzip.compress(bytes(10_000_000)), content_encoding=encoding))
    assert "compressed" in error_of(run, UrlFetchFailed)
    assert run.body == b""


@pytest.mark.parametrize("encoding", ["", "identity", "aws-chunked", "utf-8", "binary", "none"])
def test_a_coding_that_compresses_nothing_is_read(encoding: str) -> None:
    assert one(answer(BODY, content_type="video/mp4", content_encoding=encoding)).body == BODY


def test_a_file_as_large_as_the_limit_is_taken() -> None:
    assert one(FILE, max_bytes=len(BODY)).body == BODY


@pytest.mark.parametrize("length", [str(len(BODY)), "99999999999", "9" * 20])
def test_a_length_over_the_limit_is_refused_before_a_byte(length: str) -> None:
    run = one(answer(BODY, content_length=length), max_bytes=len(BODY) - 1)
    assert f"over {len(BODY) - 1} bytes" in error_of(run, BodyTooLarge)
    assert run.body == b""


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", bytes(1000)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + bytes(1000) + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", b"3e8\r\n" + bytes(1000) + b"\r\n"),
    ],
)
def test_a_body_without_end_is_cut_off_at_the_limit(head: bytes, piece: bytes) -> None:
    run = one(endless(head, piece), max_bytes=1_000_000)
    assert error_of(run, BodyTooLarge)
    assert len(run.body) <= 1_000_000


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"abc", content_length="-5"),
        answer(b"abc", content_length="+3"),
        answer(b"abc", content_length="0x3"),
        answer(b"abc", content_length="3, 4"),
        answer(b"abc", content_length="9" * 5000),
        answer(b"abc", transfer_encoding="gzip, chunked"),
        answer(b"xyz\r\nabc", transfer_encoding="chunked", content_length=""),
        answer(b"ffffffffffffffffffffffff\r\nabc", transfer_encoding="chunked", content_length=""),
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ns3cret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/9.9 s3cret\r\n\r\n",
        b"<html>s3cret</html>\r\n\r\n",
        b"\x00" * 300_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
        endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),  # which the client reads for ever, and without a pause
        endless(b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 1000),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100),
    ],
)
def test_what_is_no_http_is_refused(reply: Answer) -> None:
    assert "no proper HTTP answer" in error_of(one(reply), UrlFetchFailed)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", answer(b"abc", content_length="4")])
def test_an_answer_that_breaks_off_is_no_file(sent: bytes) -> None:
    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        writer.write_eof()

    assert "closed the connection early" in error_of(one(break_off), UrlFetchFailed)


def test_a_connection_that_is_reset_is_no_file() -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    assert "closed the connection early" in error_of(one(reset), UrlFetchFailed)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        answer(b"abc", content_length="4"),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ],
    ids=["silence", "half a header", "half a body", "drip"],
)
def test_what_is_too_slow_ends_at_the_deadline(reply: Answer) -> None:
    assert "within 0.05 s" in error_of(one(reply, timeout_s=0.05), UrlFetchTimeout)


def test_the_deadline_holds_for_the_look_up_too() -> None:
    async def never(_: str) -> list[str]:
        return [str(await asyncio.Event().wait())]

    run = fetched({"/clip": FILE}, names=never, timeout_s=0.01)  # type: ignore[arg-type]
    assert error_of(run, UrlFetchTimeout)


def test_names_are_looked_up_in_a_bounded_number_of_threads_whoever_has_left() -> None:
    """With a limiter a call there were 511 threads, and good uploads had none left."""
    release, asked = threading.Event(), []

    def slow(host: str) -> list[str]:
        asked.append(host)
        assert release.wait(60)
        return [host]

    async def run() -> list[list[str]]:
        look_up = LookUps(slow)
        for _ in range(5):  # the threads of those who leave are still busy
            leaving = [asyncio.create_task(look_up(f"left-{number}")) for number in range(MAX_LOOK_UPS)]
            await asyncio.sleep(0)
            for each in leaving:
                each.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
        assert len(asked) <= MAX_LOOK_UPS
        staying = [asyncio.create_task(look_up(str(number))) for number in range(3)]
        release.set()
        return await asyncio.gather(*staying)

    assert asyncio.run(run()) == [["0"], ["1"], ["2"]]


def test_a_failed_look_up_gives_its_thread_back() -> None:
    def fail(_: str) -> list[str]:
        raise OSError("no such name")

    async def run() -> None:
        look_up = LookUps(fail)
        for _ in range(2 * MAX_LOOK_UPS):
            with pytest.raises(OSError, match="no such name"):
                await look_up("nowhere")

    asyncio.run(run())


def test_the_deadline_waits_for_a_thread_that_is_writing() -> None:
    release, done = threading.Event(), threading.Event()

    def slow_disk() -> None:
        release.wait(10)
        done.set()

    async def write(_: bytes) -> None:
        asyncio.get_running_loop().call_later(0.1, release.set)
        await to_thread.run_sync(slow_disk)

    async def fetch() -> None:
        async with serving({"/clip": FILE}, HERE) as server:
            policy = FetchPolicy(10_000_000, allowed_ports=frozenset({server.port}), timeout_s=0.05)
            with pytest.raises(UrlFetchTimeout):
                await Fetcher(policy, Names(), is_public, TLS).fetch(f"http://{NAME}:{server.port}/clip", write)
            assert done.is_set()

    asyncio.run(fetch())


@pytest.mark.parametrize("moment", ["waiting", "shaking hands", "reading"])
def test_a_fetch_that_is_cancelled_hangs_up(moment: str) -> None:
    async def cancel() -> None:
        reply = answer(b"abc", content_length="4") if moment == "reading" else b""
        scheme = "https" if moment == "shaking hands" else "http"
        reached = asyncio.Event()

        async def write(_: bytes) -> None:
            reached.set()

        async with serving({"/clip": reply}, HERE) as server:
            policy = FetchPolicy(10_000_000, allowed_ports=frozenset({server.port}))
            fetch = Fetcher(policy, Names(), is_public, TLS).fetch(f"{scheme}://{NAME}:{server.port}/clip", write)
            task = asyncio.create_task(fetch)
            await (reached if moment == "reading" else server.connected).wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())


def test_a_deadline_during_the_tls_handshake_hangs_up() -> None:
    run = fetched({"/clip": FILE}, f"https://{NAME}:PORT/clip", timeout_s=0.05)
    assert error_of(run, UrlFetchTimeout)


def test_one_byte_chunks_let_others_have_their_turn() -> None:
    turns, pieces = [0], [0]

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def write(_: bytes) -> None:
        pieces[0] += 1

    async def fetch() -> None:
        reply = answer(b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n", transfer_encoding="chunked", content_length="")
        async with serving({"/clip": reply}, HERE) as server:
            policy = FetchPolicy(10_000_000, allowed_ports=frozenset({server.port}))
            task = asyncio.create_task(others())
            await Fetcher(policy, Names(), is_public, TLS).fetch(f"http://{NAME}:{server.port}/clip", write)
            task.cancel()

    asyncio.run(fetch())
    assert turns[0] >= pieces[0] == 10_000


def test_what_writing_raises_is_passed_on() -> None:
    async def write(_: bytes) -> None:
        raise OSError(errno.ENOSPC, "no room")

    async def fetch() -> None:
        async with serving({"/clip": FILE}, HERE) as server:
            policy = FetchPolicy(10_000_000, allowed_ports=frozenset({server.port}))
            await Fetcher(policy, Names(), is_public, TLS).fetch(f"http://{NAME}:{server.port}/clip", write)

    with pytest.raises(OSError, match="no room"):
        asyncio.run(fetch())


def test_proxies_and_netrc_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine {NAME} login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.78:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.78:9")
    run = one(FILE)
    assert run.body == BODY
    assert "authorization" not in run.requests[0].lower()


@pytest.mark.parametrize("location", ["/s3cret?s3cret", "http://[s3cret", "http://10.0.0.1/s3cret", "http://u:s3cret@a.example/"])
def test_no_url_gets_into_an_answer_or_the_log(caplog: pytest.LogCaptureFixture, location: str) -> None:
    caplog.set_level(logging.DEBUG)
    answers = {"/s3cret?s3cret": redirect(location)}
    run = fetched(answers, f"http://{NAME}:PORT/s3cret?s3cret")
    assert run.error
    assert "s3cret" not in str(run.error) + caplog.text
    assert fetched({}, f"http://u:s3cret@{NAME}:PORT/").error
    assert one(b"HTTP/1.1 s3cret\r\n\r\n").error
    assert "s3cret" not in caplog.text
    assert f"no file from {NAME}: RemoteProtocolError" in caplog.text


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for clips.example that signs itself, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here")
    directory = tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    names = ["-subj", "/CN=a test", "-addext", f"subjectAltName=DNS:{NAME}"]
    command = ["openssl", "req", "-x509", *key, *names, "-days", "2", "-out", "cert.pem"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    both = directory / "both.pem"
    both.write_bytes((directory / "key.pem").read_bytes() + (directory / "cert.pem").read_bytes())
    return both


@pytest.fixture
def asked_for() -> list[str | None]:
    """The names that the test's TLS server was asked for."""
    return []


@pytest.fixture
def tls(certificate: Path, asked_for: list[str | None]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with the certificate, and a client's that trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.sni_callback = lambda _, name, __: asked_for.append(name)
    return server, ssl.create_default_context(cafile=str(certificate))


@pytest.mark.parametrize("host", [NAME, NAME.upper(), NAME + "."])
def test_tls_asks_for_and_checks_the_name_not_the_address(tls: Any, asked_for: list[str | None], host: str) -> None:
    run = fetched({"/clip": FILE}, f"https://{host}:PORT/clip", tls=tls)
    assert (run.error, run.body, asked_for) == (None, BODY, [NAME])
    assert f"\nHost: {NAME}:" in run.requests[0].replace("\r", "")


def test_a_certificate_for_another_name_is_refused(tls: Any) -> None:
    run = fetched({"/clip": FILE}, "https://other.example:PORT/clip", Names({"other.example": [[HERE]]}), tls)
    assert "certificate" in error_of(run, UrlFetchFailed)
    assert run.requests == []


def test_a_certificate_of_nobody_is_refused(tls: Any) -> None:
    run = fetched({"/clip": FILE}, f"https://{NAME}:PORT/clip", tls=(tls[0], None))
    assert "certificate" in error_of(run, UrlFetchFailed)


def test_a_tls_connection_that_breaks_is_no_file(tls: Any) -> None:
    async def break_it(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"abc", content_length="40000"))
        await writer.drain()
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))  # a record nobody sealed

    assert error_of(fetched({"/clip": break_it}, f"https://{NAME}:PORT/clip", tls=tls), UrlFetchFailed)


def test_what_speaks_no_tls_is_refused() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FILE)
        await reader.read()
        writer.close()

    async def fetch() -> None:
        async def write(_: bytes) -> None:
            """Nothing."""

        async with await asyncio.start_server(plain, HERE, 0) as server:
            port = server.sockets[0].getsockname()[1]
            policy = FetchPolicy(10_000_000, allowed_ports=frozenset({port}))
            with pytest.raises(UrlFetchFailed, match="TLS"):
                await Fetcher(policy, Names(), is_public, TLS).fetch(f"https://{NAME}:{port}/clip", write)

    asyncio.run(fetch())
