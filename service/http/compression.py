"""Compresses what is text, where the client takes gzip and it is worth it. NDJSON and arrays pass as they are.

NDJSON would have to be flushed line by line, which costs most of what compression gains; arrays hardly get smaller.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPES = ("application/json", "text/")  # of what there is: JSON, the metrics, and the pages
MIN_BYTES = 4096  # less fits into three packets, and saves a client nothing that it would notice
INLINE_BYTES = 32 * 1024  # take about half a millisecond; more is left to a thread, so that nobody else waits
LEVEL = 1  # vectors as text shrink to a half or less at any level; higher ones take several times as long
GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say that it is to write gzip


class Compression:
    """ASGI middleware. ``new`` makes a compressor, one for each answer."""

    def __init__(self, app: ASGIApp, new: Callable[[], Any] = lambda: zlib.compressobj(LEVEL, wbits=GZIP)) -> None:
        self._app, self._new = app, new

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        head: Message | None = None  # of an answer that may be compressed; it waits for the first piece of the body
        compressor: Any = None

        async def pass_on(message: Message) -> None:
            nonlocal head, compressor
            if message["type"] == "http.response.start" and _is_text(message):
                MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
                if accepts_gzip(Headers(scope=scope)):
                    head = message
                    return
            if head is not None:
                start, head = head, None
                if message.get("more_body", False) or len(message["body"]) >= MIN_BYTES:
                    compressor = self._new()
                    message = await _compressed(compressor, message)
                    _describe(start, message)
                await send(start)
            elif compressor is not None:
                message = await _compressed(compressor, message)
            await send(message)

        await self._app(scope, receive, pass_on)


def accepts_gzip(headers: Headers) -> bool:
    """Whether the client takes gzip (RFC 9110, section 12.5.3). What is no quality counts as none."""
    wishes = {}
    for part in ",".join(headers.getlist("accept-encoding")).lower().split(","):
        name, _, quality = part.replace(" ", "").replace("\t", "").partition(";q=")
        wishes[name] = quality.strip("0.") != "" if quality else True
    return wishes.get("gzip", wishes.get("*", False))


async def _compressed(compressor: Any, message: Message) -> Message:
    """The message with its piece of the body compressed."""
    body, more = message.get("body", b""), message.get("more_body", False)

    def work() -> bytes:
        return compressor.compress(body) + (b"" if more else compressor.flush())  # type: ignore[no-any-return]

    return {**message, "body": work() if len(body) <= INLINE_BYTES else await to_thread.run_sync(work)}


def _describe(start: Message, first: Message) -> None:
    headers = MutableHeaders(scope=start)
    headers["Content-Encoding"] = "gzip"
    if first.get("more_body", False):
        del headers["Content-Length"]  # nobody knows it yet
    else:
        headers["Content-Length"] = str(len(first["body"]))


def _is_text(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type", "").startswith(TYPES)
