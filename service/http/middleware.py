"""ASGI middleware that every request passes first and every answer last: request id, body limit, the answer of last resort."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, Draining, Internal, ServiceError, UploadTimeout
from service.http.admission import PROBES, Admission, ApiKeys
from service.http.metrics import CLIENT_LEFT, OK, Metrics
from service.http.problems import last_line, problem
from service.http.request_log import RequestRecord, server_timing, trace_id_of
from service.options import NDJSON
from service.settings import Settings

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")  # what is taken over from a client; it goes into headers and logs
UPLOAD_TIMEOUT_S = 600.0  # for a whole body: 512 MiB at 7 Mbit/s
DRAIN_BYTES = 64 * 1024 * 1024  # of a refused body read on, so that a client which is still sending sees the answer
DRAIN_S = 10.0


class RequestMiddleware:
    """Wraps the application. Sets ``request.state.record``, which is filled on the way and written at the end."""

    def __init__(self, app: ASGIApp, settings: Settings, access: ApiKeys, admission: Admission, metrics: Metrics) -> None:
        self._app, self._settings = app, settings
        self._access, self._admission, self._metrics = access, admission, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        record = _record(scope, headers)
        scope.setdefault("state", {})["record"] = record
        body = _Body(receive, headers, self._settings)
        answer = _Answer(send, body, record)
        self._metrics.request_began(record.endpoint)
        started = time.perf_counter()
        try:
            await self._answered(scope, headers, body, answer, record)
        finally:
            record.seconds = time.perf_counter() - started
            record.code = record.code or OK
            stages = {name: ms / 1000 for name, ms in record.stages_ms.items()}
            self._metrics.request_ended(record.endpoint, record.code, record.seconds, stages)
            if scope["path"] not in PROBES and (scope["method"] == "POST" or (record.status or 0) >= 400):
                record.write(log)  # probes come many a second, and what they find is written where it happens

    async def _answered(
        self, scope: Scope, headers: dict[bytes, bytes], body: _Body, answer: _Answer, record: RequestRecord
    ) -> None:
        """Whatever happens, an answer; but for a client that has left."""
        try:
            await self._through(scope, headers, body, answer)
        except ServiceError as error:
            self._metrics.refused(error.code)
            await problem(error, record)(scope, body, answer)
        except ClientDisconnect:
            record.code = CLIENT_LEFT
        except asyncio.CancelledError:  # the server's last word in a drain that took too long; it wants no more than an end
            late = Draining("The service is shutting down. Ask another instance.")
            record.code, body.whole = late.code, True
            if not answer.started:
                await problem(late, record)(scope, body, answer)
            elif answer.in_lines:
                await answer({"type": "http.response.body", "body": last_line(late, record)})
        except Exception as error:
            if answer.started:
                log.exception("the answer broke off", extra=record.ids())
                return
            await problem(Internal.because(error), record)(scope, body, answer)

    async def _through(self, scope: Scope, headers: dict[bytes, bytes], body: _Body, answer: _Answer) -> None:
        """Into the application, for who may ask and if there is room; there always is for probes, which are no POST."""
        self._access.check(scope["path"], headers.get(b"authorization", b""))
        if scope["method"] != "POST":
            await self._app(scope, body, answer)
            return
        body.check()
        with self._admission.one():
            await self._app(scope, body, answer)


def _record(scope: Scope, headers: dict[bytes, bytes]) -> RequestRecord:
    given = headers.get(b"x-request-id", b"")
    request_id = given.decode() if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    trace_id = trace_id_of(headers.get(b"traceparent", b"").decode("latin-1"))
    return RequestRecord(request_id, scope["method"], scope["path"], trace_id)


class _Body:
    """The request's ``receive``: with deadlines and a limit, and knowing whether the body has been read to its end."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes], settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        length = headers.get(b"content-length", b"0")
        self._announced = int(length) if length.isdigit() else 0
        self._received = 0
        self.whole = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        # A client that asked for leave to send its body has not begun to: there is nothing to drain.
        self._unasked = headers.get(b"expect", b"").lower() == b"100-continue"
        self._deadline = asyncio.get_running_loop().time() + UPLOAD_TIMEOUT_S

    def check(self) -> None:
        """Raises BodyTooLarge for what was announced or has come."""
        limit = self._settings.max_upload_bytes
        if max(self._announced, self._received) > limit:
            raise BodyTooLarge(f"The body is over {limit} bytes. Send a shorter or a more compressed video.")

    async def __call__(self) -> Message:
        message = await self._next()
        self._received += len(message.get("body", b""))
        self.check()
        return message

    async def _next(self) -> Message:
        if self.whole:
            return await self._receive()  # nothing comes but the client's leaving, for which there is no deadline
        self._unasked = False
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(self._deadline, loop.time() + self._settings.upload_idle_s)):
                message = await self._receive()
        except TimeoutError as error:
            self.whole = True  # as far as we care: it is not waited for any more
            raise UploadTimeout("The body came too slowly, or not at all. Send it again, over a better connection.") from error
        self.whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read on, within bounds, without keeping anything."""
        left = 0 if self._unasked else DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self.whole and left > 0:
                    left -= len((await self._next()).get("body", b""))
        except (TimeoutError, UploadTimeout):
            log.debug("a refused body was still being sent")


class _Answer:
    """The request's ``send``: adds the request id and its times, and ends an early answer only when the body has been drained.

    The answer itself goes out at once. Were the connection closed behind it with bytes unread, a client that is still
    sending would see a reset instead. And since what follows an answer waits until the system has taken it, a large answer that
    nobody reads is a request inside, and counts as one.
    """

    def __init__(self, send: Send, body: _Body, record: RequestRecord) -> None:
        self._send, self._body, self._record = send, body, record
        self._since = time.perf_counter()
        self.started = self.in_lines = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.in_lines = (b"content-type", NDJSON.encode()) in message.get("headers", [])
            self._record.status = message["status"]
            total = {"total": (time.perf_counter() - self._since) * 1000}
            timing = server_timing(self._record.stages_ms or total).encode()
            ours = [(b"x-request-id", self._record.request_id.encode()), (b"server-timing", timing)]
            if not self._body.whole:
                ours.append((b"connection", b"close"))  # or what is left of the body would be waited for without an end
            message = {**message, "headers": [*message.get("headers", []), *ours]}
        elif not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body"}
        await self._send(message)
