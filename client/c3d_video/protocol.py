"""The service's HTTP API without a connection: how a request is built, and how an answer or an error is read."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import httpx2

from c3d_video.errors import CONNECTION_LOST, NO_SERVICE, C3DError

Source = str | os.PathLike[str] | bytes | BinaryIO  # a path, a URL, the video's bytes, or a file open for reading bytes

NDJSON = "application/x-ndjson"
# The service may take 300 s for the first line of a stream (C3D_REQUEST_TIMEOUT_S); from then on it sends heartbeats.
TIMEOUT = httpx2.Timeout(connect=10, read=330, write=60, pool=None)
CHUNK_BYTES = 1024 * 1024
NO_CODE = {429: "overloaded", 502: "replica_lost", 503: "no_replica", 504: "no_replica"}  # from a proxy without problem details


class Asked(NamedTuple):
    """One request: its path, its query and, for a URL, its JSON; a file's bytes are sent by the client."""

    path: str
    params: dict[str, str]
    url: str | None


def is_url(source: object) -> bool:
    """Whether the service is to fetch the video itself."""
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def asked(path: str, source: Source, options: Mapping[str, Any]) -> Asked:
    """The request for a video. Options that are None are left out; a sequence is joined with commas."""
    params = {name: _text(value) for name, value in options.items() if value is not None}
    return Asked(path, params, source if isinstance(source, str) and is_url(source) else None)


def headers(api_key: str | None) -> dict[str, str]:
    """What every request carries."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


@cache
def certificates() -> ssl.SSLContext:
    """The certificates that httpx2 trusts. Reading them takes 15 ms, so all clients of a process share them."""
    return httpx2.create_ssl_context()


def upload(asked: Asked, body: BinaryIO | bytes | None) -> tuple[dict[str, str], bytes]:
    """The headers of the request and, where it is small, its body; an open file is sent from where it stands."""
    if body is None:
        content = json.dumps({"url": asked.url}).encode()
        return {"Accept": NDJSON, "Content-Type": "application/json"}, content
    if isinstance(body, bytes):
        return {"Accept": NDJSON, "Content-Type": "application/octet-stream"}, body
    length = body.seek(0, os.SEEK_END)
    body.seek(0)
    return {"Accept": NDJSON, "Content-Type": "application/octet-stream", "Content-Length": str(length)}, b""


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO | bytes | None]:
    """The video's bytes, or a file open at its start; None for a URL, which the service fetches.

    A file that was opened here is closed with the context. Raises OSError where there is no such file.
    """
    if is_url(source):
        yield None
    elif isinstance(source, bytes):
        yield source
    elif isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def error_of(answer: httpx2.Response) -> C3DError:
    """What a refusal says; its body must have been read."""
    try:
        fields = answer.json()
    except ValueError:
        fields = {}
    if not isinstance(fields, dict) or "code" not in fields:
        code = NO_CODE.get(answer.status_code, f"http_{answer.status_code}")
        fields = {"code": code, "detail": f"The server answered {answer.status_code} without saying why."}
    request_id = fields.get("request_id") or answer.headers.get("x-request-id")
    return C3DError(str(fields["code"]), answer.status_code, str(fields.get("detail", "")), request_id, _seconds(answer.headers))


def content_of(answer: httpx2.Response, url: str) -> Any:
    """The JSON of an answer of the service at ``url``. Raises C3DError, where no C3D service answers there too."""
    if answer.status_code not in {200, 404}:
        raise error_of(answer)
    if answer.status_code == 200:
        with suppress(ValueError):
            return answer.json()
    raise C3DError("not_the_service", answer.status_code, f"No C3D service answers at {url}. Check the address.")


class LineSplitter:
    """Whole lines out of pieces of any size. Only a line feed ends a line: labels may hold any other separator."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [line for line in lines if line.strip()]


def line_of(text: bytes, request_id: str | None) -> dict[str, Any]:
    """One line of a stream. Raises C3DError for a line that tells of one, and for a line that broke off."""
    try:
        line = json.loads(text)
    except ValueError as error:
        raise cut_off(request_id) from error
    if not isinstance(line, dict) or "type" not in line:
        raise C3DError("not_the_service", None, "The answer is not a C3D service's. Check the address.", request_id)
    if line["type"] == "error":
        problem = line["error"]
        raise C3DError(problem["code"], problem.get("status"), problem.get("detail", ""), problem.get("request_id") or request_id)
    return line


def cut_off(request_id: str | None = None) -> C3DError:
    """The connection ended before the answer did."""
    return C3DError(
        CONNECTION_LOST, None, "The connection broke before the answer was complete. Send the video again.", request_id
    )


def transport_error(error: httpx2.TransportError, url: str) -> C3DError:
    """What came between, in our words."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return C3DError(NO_SERVICE, None, f"No service answers at {url}. Start it, or give its address.")
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.ProxyError):
        return C3DError("bad_address", None, f"{url} is not a usable address. Write it like http://localhost:8000.")
    return cut_off()


def _text(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    return str(value)


def _seconds(found: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(found["retry-after"]))
    except (KeyError, ValueError):
        return None
