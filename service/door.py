"""ASGI middleware that every request passes first and every answer last: request id, body limit, the answer of last resort."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, Internal
from service.problems import problem

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")  # what is taken over from a client; it goes into headers and logs
DRAIN_BYTES = 64 * 1024 * 1024  # of a refused body read on, so that a client which is still sending sees the answer
DRAIN_S = 10.0


class Door:
    """Wraps the application. Sets ``request.state.request_id``."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        body = _Body(receive, headers)
        answer = _Answer(send, body, request_id)
        length = headers.get(b"content-length", b"0")
        try:
            if length.isdigit() and int(length) > self._max_body_bytes:
                error = BodyTooLarge(f"The body is over {self._max_body_bytes} bytes. Send a shorter or a more compressed video.")
                await problem(error, request_id)(scope, body, answer)
                return
            await self._app(scope, body, answer)
        except ClientDisconnect:
            log.info("%s the client left before its request was whole", request_id)
        except Exception:
            log.exception("%s failed", request_id)
            if not answer.started:
                sorry = Internal("Something went wrong here, not in your request. Report it with the request id.")
                await problem(sorry, request_id)(scope, body, answer)


class _Body:
    """The request's ``receive``, which knows whether the body has been read to its end."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes]) -> None:
        self._receive = receive
        self.whole = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        # A client that asked for leave to send its body has not begun to: there is nothing to drain.
        self._unasked = headers.get(b"expect", b"").lower() == b"100-continue"

    async def __call__(self) -> Message:
        self._unasked = False
        message = await self._receive()
        self.whole = self.whole or message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read on, within bounds, without keeping anything."""
        left = 0 if self._unasked else DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self.whole and left > 0:
                    left -= len((await self()).get("body", b""))
        except TimeoutError:
            log.debug("a refused body was still being sent")


class _Answer:
    """The request's ``send``: adds the request id, and ends an early answer only when the body has been drained.

    The answer itself goes out at once. Were the connection closed behind it with bytes unread, a client that is still
    sending would see a reset instead.
    """

    def __init__(self, send: Send, body: _Body, request_id: str) -> None:
        self._send = send
        self._body = body
        self._id = (b"x-request-id", request_id.encode())
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers: list[Any] = [*message.get("headers", []), self._id]
            message = {**message, "headers": headers}
        elif not self._body.whole and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body"}
        await self._send(message)
