"""Compresses answers that come in one piece, where the client takes gzip and it is worth it. Streams and files pass as they are.

A stream would have to be flushed line by line, which costs most of what compression gains; arrays hardly get smaller.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPES = ("application/json", "text/")  # of what there is: JSON, the metrics, and the page at /docs
MIN_BYTES = 4096  # less fits into three packets, and saves a client nothing that it would notice
INLINE_BYTES = 64 * 1024  # takes about a millisecond; more is left to a thread, so that nobody else waits
LEVEL = 1  # vectors as text shrink to a half or less at any level; higher ones take several times as long


def shrink(body: bytes) -> bytes:
    """The body in gzip, the same bytes for the same body."""
    return gzip.compress(body, LEVEL, mtime=0)


class Compression:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, shrink: Callable[[bytes], bytes] = shrink) -> None:
        self._app, self._shrink = app, shrink

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        head: Message | None = None  # of an answer whose body may be compressed; it waits for that

        async def pass_on(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and _is_text(message):
                MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
                if accepts_gzip(Headers(scope=scope)):
                    head = message
                    return
            if head is not None:
                start, head = head, None
                if not message.get("more_body", False) and len(message["body"]) >= MIN_BYTES:
                    message = {**message, "body": await self._compressed(message["body"])}
                    headers = MutableHeaders(scope=start)
                    headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(message["body"]))
                await send(start)
            await send(message)

        await self._app(scope, receive, pass_on)

    async def _compressed(self, body: bytes) -> bytes:
        if len(body) <= INLINE_BYTES:
            return self._shrink(body)
        return await to_thread.run_sync(self._shrink, body)


def accepts_gzip(headers: Headers) -> bool:
    """Whether the client takes gzip (RFC 9110, section 12.5.3). What is no quality counts as none."""
    wishes = {}
    for part in ",".join(headers.getlist("accept-encoding")).lower().split(","):
        name, _, quality = part.replace(" ", "").replace("\t", "").partition(";q=")
        wishes[name] = quality.strip("0.") != "" if quality else True
    return wishes.get("gzip", wishes.get("*", False))


def _is_text(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type", "").startswith(TYPES)
