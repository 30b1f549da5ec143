"""One HTTP request, with an end to its patience: what the standard library's client leaves out for us."""

from __future__ import annotations

import http.client
import http.cookiejar
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from model_store.tensors import StoreError

CONNECT_S = 3.0  # for each address of a host
ANSWER_S = 7.0  # from asking for a name until the answer's headers, redirections included
READ_S = 20.0  # without a byte of the body
AGENT = "c3d-service-model-store/1"

Response = http.client.HTTPResponse


class SourceFailed(StoreError):
    """This source does not deliver what it should: the next one may."""


class Web:
    """GET requests that fail fast. Cookies are kept, proxies of the environment used, hosts found dead not tried again."""

    def __init__(self, answer_s: float = ANSWER_S, read_s: float = READ_S) -> None:
        """``answer_s``: seconds until the headers; ``read_s``: seconds without a byte of the body."""
        self._answer_s, self._read_s = answer_s, read_s
        self._dead: dict[str, str] = {}
        self._opener = urllib.request.OpenerDirector()  # without the file: and ftp: handlers of build_opener
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.UnknownHandler(),
            _PlainHandler(),
            _TlsHandler(),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def get(self, url: str, headers: Mapping[str, str]) -> Response | None:
        """The answer to a GET, its body unread; None for 416, when there is nothing in the range asked for.

        Raises SourceFailed where the host cannot be reached in time or answers with an error.
        """
        host = urlsplit(url).netloc
        if host in self._dead:
            raise SourceFailed(f"{host} {self._dead[host]}")
        request = urllib.request.Request(url, headers={"User-Agent": AGENT, **headers})  # noqa: S310 - http(s) only, above
        try:
            response: Response = _within(self._answer_s, lambda: self._opener.open(request, timeout=self._read_s))
            return response  # noqa: TRY300 - what can fail is one line
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise SourceFailed(f"{host} answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            self._dead[host] = f"cannot be reached: {str(reason) or type(reason).__name__}"
            raise SourceFailed(f"{host} {self._dead[host]}") from error


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Do the work in a thread that may be left behind: looking up a name has no timeout of its own."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            result = work()
        except (OSError, http.client.HTTPException, ValueError) as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        if future.set_running_or_notify_cancel():
            future.set_result(result)
        else:
            result.close()

    threading.Thread(target=run, daemon=True, name="model-store-get").start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        if future.cancel():
            raise TimeoutError(f"no answer in {seconds:g} s") from None
        return future.result()  # it came, or failed, in this very moment


class _Plain(http.client.HTTPConnection):
    def connect(self) -> None:
        """Connect with the short patience, then read with the long one."""
        self.timeout, reading_s = CONNECT_S, self.timeout
        super().connect()
        self.sock.settimeout(reading_s)


class _Tls(http.client.HTTPSConnection):
    def connect(self) -> None:
        """Likewise, certificates checked."""
        self.timeout, reading_s = CONNECT_S, self.timeout
        super().connect()
        self.sock.settimeout(reading_s)


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Plain, req)


class _TlsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Tls, req)
