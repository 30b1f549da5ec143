"""A URL becomes the bytes of one file. The only file that knows an HTTP client.

What a stranger names is asked for by us, from where we stand: behind the firewall. So each hop, redirects included, goes

    URL -> may it be asked for? -> ONE look-up -> are ALL its addresses allowed? -> a connection to one of THESE addresses

and a name that would answer otherwise a second time (DNS rebinding) is never asked again. The connection is made here and
httpcore2 speaks HTTP/1.1 over it, since httpx2's client looks names up itself, writes whole URLs into the log, and leaves a
connection open that is cancelled during its TLS handshake. Without that client there are no proxies, cookies or .netrc either.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import cache

import anyio
import httpcore2
import httpx2
from anyio.lowlevel import checkpoint

from service.errors import BodyTooLarge, UrlFetchFailed, UrlFetchTimeout, UrlForbidden
from service.intake import fetch_policy
from service.intake.fetch_policy import FetchPolicy, host_of, joined, port_of

log = logging.getLogger(__name__)
logging.getLogger("httpcore2").setLevel(logging.INFO)  # at debug it writes headers, and with them URLs, into the log

REDIRECTS = {301, 302, 303, 307, 308}
MAX_REDIRECTS = 3
MAX_ADDRESSES = 4  # of a host, tried in turn
READ_HEAD_BYTES = 16 * 1024  # at once: 600 answers of "100 Continue", 10 ms
MAX_HEAD_BYTES = 64 * 1024  # until the head of the answer is whole, those of "100 Continue" and its like included
CONNECT_S = 10.0  # for one of them, and as long again for its TLS handshake
COMPRESSING = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz", "bzip2", "xz", "lzma", "lz4"}
HTML = {"text/html", "application/xhtml+xml"}
HEADERS = [("User-Agent", "c3d-service"), ("Accept", "*/*"), ("Accept-Encoding", "identity"), ("Connection", "close")]

MAX_LOOK_UPS = 16  # at once: names are found in milliseconds, or their servers are slow

Resolve = Callable[[str], Awaitable[Sequence[str]]]
Write = Callable[[bytes], Awaitable[None]]


def _addresses(host: str) -> list[str]:
    """Also turns ``127.1`` and ``0x7f000001`` into what they mean."""
    return [str(where[0]) for *_, where in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class LookUps:
    """Asks the system's resolver for names, in a bounded number of threads: a name server that is slow holds one for up to 40 s.

    A thread is not free before its answer is there, whether anybody waits for that or not. They are daemons: a name that is
    still being looked up does not hold up the end of the process.
    """

    def __init__(self, ask: Callable[[str], list[str]] = _addresses) -> None:
        self._ask, self._free = ask, asyncio.Semaphore(MAX_LOOK_UPS)

    async def __call__(self, host: str) -> list[str]:
        """The host's addresses, as the system knows them. Raises OSError, UnicodeError."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def done(addresses: list[str], error: Exception | None) -> None:
            self._free.release()
            if found.cancelled():
                return
            if error:
                found.set_exception(error)
            else:
                found.set_result(addresses)

        def work() -> None:
            addresses: list[str] = []
            failure = None
            try:
                addresses = self._ask(host)
            except Exception as error:  # noqa: BLE001 (it is raised where the name is waited for)
                failure = error
            with suppress(RuntimeError):  # the loop has ended: nobody waits for the answer
                loop.call_soon_threadsafe(done, addresses, failure)

        try:
            threading.Thread(target=work, name="look-up", daemon=True).start()
        except BaseException:
            self._free.release()
            raise
        return await found


@cache  # reading the system's certificates takes 40 ms
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class Fetcher:
    """Fetches URLs as the policy allows. Holds no connection between two of them, so there is nothing to close."""

    def __init__(
        self,
        policy: FetchPolicy,
        resolve: Resolve | None = None,
        is_public: Callable[[str], bool] = fetch_policy.is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._resolve = resolve or LookUps()
        self._is_public = is_public
        self._tls = tls or _tls()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def fetch(self, url: str, write: Write) -> None:
        """Give the file behind the URL to ``write``, piece by piece, at most 64 KiB each; no piece where it is empty.

        Raises UrlForbidden, UrlFetchFailed, UrlFetchTimeout, BodyTooLarge, and what ``write`` raises.
        """
        if not self._policy.enabled:
            raise UrlForbidden("This service does not fetch URLs. Send the file itself.")
        # anyio's deadline, not asyncio's: it waits for the thread in which `write` works, whose file must stay open until then.
        with anyio.move_on_after(self._policy.timeout_s):
            await self._follow(url, write)
            return
        raise UrlFetchTimeout(
            f"The file did not arrive within {self._policy.timeout_s:g} s. Send the file itself, or a shorter one."
        )

    async def _follow(self, text: str, write: Write) -> None:
        url = httpx2.URL()
        for _ in range(MAX_REDIRECTS + 1):
            url = joined(url, text)
            self._policy.check(url)
            host = host_of(url)
            allowed = await self._addresses(host)
            with _in_our_words(host):
                async with self._asked(url, allowed) as answer:
                    headers = httpx2.Headers(answer.headers)
                    if answer.status not in REDIRECTS or "location" not in headers:
                        self._check(answer.status, headers, host)
                        await self._take(answer, write)
                        return
            text = headers["location"]
        raise UrlFetchFailed(f"The URL redirects more than {MAX_REDIRECTS} times. Use the address that they end at.")

    async def _addresses(self, host: str) -> list[str]:
        """All addresses of the host. Raises UrlForbidden where one of them must not be asked."""
        try:
            found = list(dict.fromkeys(await self._resolve(host)))
        except (OSError, UnicodeError) as error:
            log.info("no address of %s: %s", host, type(error).__name__)
            found = []
        if not found:
            raise UrlFetchFailed(f"The host '{host}' was not found. Check its spelling.")
        for address in found:
            if not self._is_public(address) and not (self._policy.allow_private and fetch_policy.is_private(address)):
                raise UrlForbidden(
                    f"The host '{host}' has an address that this service may not fetch from. Send the file itself."
                )
        return found

    @asynccontextmanager
    async def _asked(self, url: httpx2.URL, allowed: list[str]) -> AsyncIterator[httpcore2.Response]:
        """The answer to one GET, its body not yet read, over a connection that ends with the context."""
        tcp = await _connected(allowed, port_of(url))
        try:
            stream = tcp
            if url.scheme == "https":
                stream = await tcp.start_tls(self._tls, host_of(url), CONNECT_S)
            target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
            headers = [("Host", url.netloc.decode()), *HEADERS]
            bounded = _BoundedHead(stream)
            connection = httpcore2.AsyncHTTP11Connection(target.origin, bounded)
            answer = await connection.handle_async_request(httpcore2.Request("GET", target, headers=headers))
            bounded.is_whole = True
            yield answer
        finally:
            await tcp.aclose()

    def _check(self, status: int, headers: httpx2.Headers, host: str) -> None:
        """Raise for an answer that is no file, or too large a one."""
        if status != 200:  # 206 is a part, which was not asked for, and 204 has no body
            raise UrlFetchFailed(f"'{host}' answered with status {status} instead of a file.")
        if headers.get("content-type", "").partition(";")[0].strip().lower() in HTML:
            raise UrlFetchFailed(f"'{host}' sent a web page, not a video. Use the URL of the file itself.")
        codings = {coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")}
        if codings & COMPRESSING:  # S3's "aws-chunked" and a mistaken "utf-8" leave the bytes as they are
            raise UrlFetchFailed(f"'{host}' sent the file compressed, although it was asked not to. Send the file itself.")
        if int(headers.get("content-length", "0")) > self._policy.max_bytes:  # digits: h11 refuses all else
            raise self._too_large()

    async def _take(self, answer: httpcore2.Response, write: Write) -> None:
        received = 0
        async with aclosing(answer.aiter_stream()) as chunks:
            async for chunk in chunks:
                received += len(chunk)
                if received > self._policy.max_bytes:
                    raise self._too_large()
                await write(chunk)
                await checkpoint()  # other requests get a turn: a read of one-byte chunks takes 0.2 s

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The file is over {self._policy.max_bytes} bytes. Use a shorter or a more compressed video.")


class _BoundedHead(httpcore2.AsyncNetworkStream):
    """A connection on which a bounded number of bytes may come before the head of the answer is whole.

    httpcore2 goes on reading for as long as the other side says "100 Continue".
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream, self._num_bytes, self.is_whole = stream, 0, False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (httpcore2's signature)
        """Raises httpcore2.RemoteProtocolError where too much came."""
        if self.is_whole:
            return await self._stream.read(max_bytes, timeout)
        await checkpoint()  # a read of what has come already does not wait
        data = await self._stream.read(min(max_bytes, READ_HEAD_BYTES), timeout)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_HEAD_BYTES:
            raise httpcore2.RemoteProtocolError("The head of the answer is too long.")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """As the connection's."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the connection's."""
        await self._stream.aclose()


async def _connected(allowed: list[str], port: int) -> httpcore2.AsyncNetworkStream:
    """A connection to the first of the addresses that takes one."""
    backend = httpcore2.AnyIOBackend()
    *others, last = allowed[:MAX_ADDRESSES]
    for address in others:
        try:
            return await backend.connect_tcp(address, port, CONNECT_S)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            log.debug("one of several addresses takes no connection: %s", type(error).__name__)
    return await backend.connect_tcp(last, port, CONNECT_S)


@contextmanager
def _in_our_words(host: str) -> Iterator[None]:
    """The client's errors as ours. Their text may quote what the other side sent, so not even the log gets more than names."""
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, ssl.SSLError) as error:
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        log.info("no file from %s: %s", host, type(cause).__name__)
        if isinstance(error, httpcore2.TimeoutException):
            raise UrlFetchTimeout(f"'{host}' did not accept a connection within {CONNECT_S:g} s. Try again later.") from None
        if isinstance(cause, ssl.SSLError):
            raise UrlFetchFailed(f"The certificate of '{host}' is not trusted here, or the host does not speak TLS.") from None
        if isinstance(error, httpcore2.ConnectError):
            raise UrlFetchFailed(f"'{host}' refused the connection. Check the URL, or try again later.") from None
        raise UrlFetchFailed(f"'{host}' closed the connection early or sent no proper HTTP answer. Try again later.") from None
