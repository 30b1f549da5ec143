"""One HTTP request, with an end to its patience; httpx2 speaks HTTP."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from itertools import chain

import httpx2

from model_store.tensors import StoreError

CONNECT_S = 3.0  # for each address of a host
ANSWER_S = 7.0  # from asking for a name until the answer's headers, redirections included
READ_S = 20.0  # without a byte of the body
# Identity: what is compressed on the way cannot be taken up in the middle.
HEADERS = {"User-Agent": "c3d-service-model-store/1", "Accept-Encoding": "identity"}


class SourceFailed(StoreError):
    """This source does not deliver what it should: the next one may."""


class BrokeOffError(Exception):
    """The connection ended before the file did."""


class Answer:
    """An answer whose body has not been read. Attributes: ``status``, ``url`` (after redirections), ``headers``.

    To be closed, however much of its body was read.
    """

    def __init__(self, response: httpx2.Response) -> None:
        self.status, self.url, self.headers = response.status_code, str(response.url), response.headers
        self._response = response
        self._blocks = response.iter_raw()

    def close(self) -> None:
        """End the connection."""
        self._response.close()

    def peek(self) -> bytes:
        """The body's first block, which `blocks` gives again; empty where there is none. Raises BrokeOffError."""
        first = next(self.blocks(), b"")
        self._blocks = chain([first], self._blocks)
        return first

    def blocks(self) -> Iterator[bytes]:
        """The body as it comes. Raises BrokeOffError where the connection ends before it."""
        try:
            yield from filter(None, self._blocks)
        except httpx2.HTTPError as error:
            raise BrokeOffError(str(error) or type(error).__name__) from error


@cache
def certificates() -> ssl.SSLContext:
    """The system's certificates, to which a company may have added its own. They are read once: that takes 15 ms."""
    return ssl.create_default_context()


class Web:
    """GET requests that fail fast. Cookies are kept, proxies of the environment used, hosts found dead not tried again."""

    def __init__(self, answer_s: float = ANSWER_S, read_s: float = READ_S, transport: httpx2.BaseTransport | None = None) -> None:
        """``answer_s``: seconds until the headers; ``read_s``: seconds without a byte of the body; ``transport``: the network."""
        self._answer_s = answer_s
        self._dead: dict[str, str] = {}
        self._client = httpx2.Client(
            headers=HEADERS,
            transport=transport,
            follow_redirects=True,
            limits=httpx2.Limits(max_keepalive_connections=0),  # one file a host: nothing is left open for a next one
            timeout=httpx2.Timeout(read_s, connect=CONNECT_S),
            verify=certificates(),
        )

    def get(self, url: str, headers: Mapping[str, str]) -> Answer | None:
        """The answer to a GET, its body unread; None for 416, when there is nothing in the range asked for.

        Raises SourceFailed where the host cannot be reached in time, answers with an error, or leads away from https.
        """
        host = httpx2.URL(url).netloc.decode()
        if host in self._dead:
            raise SourceFailed(f"{host} {self._dead[host]}")
        try:
            request = self._client.build_request("GET", url, headers=dict(headers))
            response = _within(self._answer_s, lambda: self._client.send(request, stream=True))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            self._dead[host] = f"cannot be reached: {str(error) or type(error).__name__}"
            raise SourceFailed(f"{host} {self._dead[host]}") from error
        if url.startswith("https:") and any(each.url.scheme != "https" for each in (*response.history, response)):
            response.close()
            raise SourceFailed(f"{host} leads from https to plain http, where anybody on the way can change the file")
        if response.is_success:
            return Answer(response)
        response.close()
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise SourceFailed(f"{host} answered {response.status_code} {response.reason_phrase}")


def _within(seconds: float, work: Callable[[], httpx2.Response]) -> httpx2.Response:
    """Do the work in a thread that may be left behind: looking up a name has no timeout of its own."""
    future: Future[httpx2.Response] = Future()

    def run() -> None:
        try:
            response = work()
        except Exception as error:  # noqa: BLE001 (raised again by whom it concerns)
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        if future.set_running_or_notify_cancel():
            future.set_result(response)
        else:
            response.close()

    threading.Thread(target=run, daemon=True, name="model-store-get").start()
    with suppress(TimeoutError):
        return future.result(timeout=seconds)
    if future.cancel():
        raise TimeoutError(f"no answer in {seconds:g} s")
    return future.result()  # it came, or failed, in this very moment
