"""ASGI middleware that every request passes first and every response last: the id, keys, limits and the last-resort error."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    BodyTooLarge,
    CrossSiteRequest,
    Draining,
    InvalidOption,
    ServiceError,
    Unauthorized,
    UploadTimeout,
    unforeseen,
)
from service.http.admission import Admission, ApiKeys
from service.http.endpoints import CLASSIFY, FEATURES, PROBES, served_path
from service.http.metrics import CLIENT_LEFT, OK, Metrics
from service.http.problems import last_line, problem
from service.http.request_log import RequestRecord, server_timing, trace_id_of
from service.options import NDJSON
from service.settings import Settings

log = logging.getLogger(__name__)

VIDEO = (CLASSIFY, FEATURES)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")  # the only ids taken over from clients, since they go into headers and logs
UPLOAD_TIMEOUT_S = 600.0  # for a whole body: 512 MiB at 7 Mbit/s
GRACE_S = 10.0  # that a client may be slow for at first
MIN_BYTES_PER_S = 4096  # of a body, in the mean: 512 MiB in 600 s need two hundred times as much
DRAIN_BYTES = 64 * 1024 * 1024  # read of a refused body, so that a client that is still sending sees the response
DRAIN_S = 10.0
STRANGER_DRAIN_BYTES = 64 * 1024  # of a body without a key: what is on its way already, for most clients
MAX_QUERY_BYTES = 4096  # all options at their longest take 700; each field of a query costs 10 microseconds


class RequestMiddleware:
    """Wraps the application. Sets ``request.state.record``, which is filled on the way and written at the end."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        api_keys: ApiKeys,
        admission: Admission,
        metrics: Metrics,
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """``is_draining``: whether no more requests should come; each answer then ends its connection."""
        self._app, self._settings, self._is_draining = app, settings, is_draining
        self._api_keys, self._admission, self._metrics = api_keys, admission, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        path = served_path(scope["path"])
        # A new scope: the server still has to know that a response to HEAD has no body.
        scope = {**scope, "path": path, "method": "GET" if head else scope["method"]}
        headers = dict(scope["headers"])
        record = _record(scope, headers)
        scope.setdefault("state", {})["record"] = record
        body = _RequestBody(receive, headers, self._settings)
        response = _Response(send, body, record, self._is_draining, head=head)
        self._metrics.request_began(record.endpoint)
        started = time.perf_counter()
        try:
            await self._respond(scope, headers, body, response, record)
        finally:
            record.seconds = time.perf_counter() - started
            record.code = record.code or OK
            stages = {name: ms / 1000 for name, ms in record.stages_ms.items()}
            self._metrics.request_ended(record.endpoint, record.code, record.seconds, stages)
            self._metrics.warned(record.warnings)
            if scope["path"] not in PROBES and (scope["method"] == "POST" or (record.status or 0) >= 400):
                record.write(log)  # probes come many a second, and what they find is written where it happens

    async def _respond(
        self, scope: Scope, headers: dict[bytes, bytes], body: _RequestBody, response: _Response, record: RequestRecord
    ) -> None:
        """Whatever happens, send a response, except to a client that has left."""
        try:
            await self._admit(scope, headers, body, response, record)
        except ServiceError as error:
            self._metrics.refused(error.code)
            if isinstance(error, Unauthorized):
                body.drain_bytes = STRANGER_DRAIN_BYTES
            await problem(error, record)(scope, body, response)
        except ClientDisconnect:
            record.code = CLIENT_LEFT
        except asyncio.CancelledError:  # the drain took too long, and the server ends the request
            late = Draining("The service is shutting down. Ask another instance.")
            record.code, body.whole = late.code, True
            if not response.started:
                await problem(late, record)(scope, body, response)
            elif response.in_lines:
                await response({"type": "http.response.body", "body": last_line(late, record)})
        except Exception as error:
            if response.started:
                log.exception("the answer broke off", extra=record.ids())
                record.code = unforeseen(error).code
                return
            await problem(unforeseen(error), record)(scope, body, response)

    async def _admit(
        self, scope: Scope, headers: dict[bytes, bytes], body: _RequestBody, response: _Response, record: RequestRecord
    ) -> None:
        """Pass a request with a valid key on to the application, if there is room. Only POST requests need room."""
        record.key = self._api_keys.check(scope["path"], headers.get(b"authorization", b""))
        if record.key is not None:
            self._metrics.authorized(record.key)
        if scope["method"] != "POST":
            await self._app(scope, body, response)
            return
        self._check_site(headers)
        if scope["path"] in VIDEO and len(scope["query_string"]) > MAX_QUERY_BYTES:
            raise InvalidOption(f"The query is over {MAX_QUERY_BYTES} bytes. No options are that long.")
        body.check()
        with self._admission.of_client(record.client):
            self._admission.check()  # where there is no room, the body need not be sent
            await self._app(scope, body, response)

    def _check_site(self, headers: dict[bytes, bytes]) -> None:
        """Refuse what a page of another site has the reader's browser send: it would make a service on his machine compute."""
        allowed = self._settings.allowed_origins()
        if headers.get(b"sec-fetch-site") != b"cross-site" or "*" in allowed:
            return
        if headers.get(b"origin", b"").decode("latin-1") not in allowed:
            raise CrossSiteRequest(
                "Web pages of this origin may not use the service. Its operator can allow them with C3D_CORS_ORIGINS."
            )


def _record(scope: Scope, headers: dict[bytes, bytes]) -> RequestRecord:
    given = headers.get(b"x-request-id", b"")
    request_id = given.decode() if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    trace_id = trace_id_of(headers.get(b"traceparent", b"").decode("latin-1"))
    client = scope["client"][0] if scope.get("client") else None  # behind a trusted proxy uvicorn puts the forwarded one there
    return RequestRecord(request_id, scope["method"], scope["path"], trace_id, client)


class _RequestBody:
    """The request's ``receive``, with deadlines and a limit. It knows whether the body has been read to its end."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes], settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        length = headers.get(b"content-length", b"0")
        self._announced = int(length) if length.isdigit() else 0
        self._received = 0
        self.whole = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        self.drain_bytes = DRAIN_BYTES
        # A client that waits for "100 Continue" has not sent its body yet, so there is nothing to drain.
        self._unasked = headers.get(b"expect", b"").lower() == b"100-continue"
        self._deadline = asyncio.get_running_loop().time() + UPLOAD_TIMEOUT_S
        # Seconds that are still waited for bytes. Waiting uses them up, what comes earns more of them.
        self._patience_s = min(GRACE_S, settings.upload_idle_s)

    def check(self) -> None:
        """Raises BodyTooLarge where the announced or the received size is over the limit."""
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
            return await self._receive()  # only a disconnect can follow, and it has no deadline
        self._unasked = False
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout_at(min(self._deadline, began + self._patience_s)):
                message = await self._receive()
        except TimeoutError as error:
            self.whole = True  # the rest is not waited for
            raise UploadTimeout("The upload was too slow. Try again on a faster connection.") from error
        earned_s = len(message.get("body", b"")) / MIN_BYTES_PER_S - (clock() - began)
        self._patience_s = min(self._patience_s + earned_s, self._settings.upload_idle_s)
        self.whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read the rest of the body, within bounds, and drop it."""
        left = 0 if self._unasked else self.drain_bytes
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self.whole and left > 0:
                    left -= len((await self._next()).get("body", b""))
        except (TimeoutError, UploadTimeout):
            log.debug("a refused body was still being sent")


class _Response:
    """The request's ``send``. It adds the id and the times, and ends an early response only when the body has been drained.

    The response itself goes out at once. If the connection were closed behind it with unread bytes, a client that is still
    sending would see a reset instead of the response. Since the end waits until the system has taken the response, a large one
    that nobody reads still counts as a request in progress.
    """

    def __init__(
        self, send: Send, body: _RequestBody, record: RequestRecord, is_draining: Callable[[], bool], *, head: bool
    ) -> None:
        self._send, self._body, self._record, self._head = send, body, record, head
        self._is_draining = is_draining
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
            # Or the server would wait for the rest of the body for ever; or a balancer would send the next upload on a connection
            # that the drain is about to end.
            if not self._body.whole or self._is_draining():
                ours.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", []), *ours]}
        elif self._head:
            message = {**message, "body": b""}
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body"}
        await self._send(message)
