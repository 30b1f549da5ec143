"""service/http/middleware.py: request ids, the body limit, draining, the answer of last resort."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Message

from service.errors import UploadTimeout
from service.http.admission import Admission, ApiKeys, Queue
from service.http.metrics import Metrics
from service.http.middleware import DRAIN_BYTES, RequestMiddleware
from service.settings import Settings
from tests.support.http_helpers import GONE, Exchange, ImpatientLoop, ask, chunks

LIMIT = 1000
CAUSE = "/srv/secret: the stack of it"
CHUNKED = ("transfer-encoding", "chunked")
UPLOAD = {
    "type": "http",
    "method": "POST",
    "path": "/classify",
    "query_string": b"",
    "headers": [(b"transfer-encoding", b"chunked")],
}
SETTINGS = Settings(max_upload_bytes=LIMIT)


def middleware(app: Any, max_requests: int = 64, keys: tuple[str, ...] = (), settings: Settings = SETTINGS) -> RequestMiddleware:
    return RequestMiddleware(app, settings, ApiKeys(keys), Admission(max_requests, lambda: Queue(0, 0.0)), Metrics())


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers without a look at the body."""
    await PlainTextResponse("no", 415)(scope, receive, send)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the body, and answers with the request id it was given."""
    request = Request(scope, receive)
    await request.body()
    await PlainTextResponse(request.state.record.request_id)(scope, receive, send)


async def fail(scope: Any, receive: Any, send: Any) -> None:
    """An application with a bug."""
    raise RuntimeError(CAUSE)


def through_middleware(app: Any, messages: Any = ({"type": "http.request"},), *headers: tuple[str, str]) -> Exchange:
    return asyncio.run(ask(middleware(app), messages, headers))


@pytest.mark.parametrize("given", ["a", "0f4c2b7d", "Trace-1.2_3", "x" * 128])
def test_a_proper_request_id_is_taken_over(given: str) -> None:
    said = through_middleware(echo, chunks(b""), ("x-request-id", given))
    assert said.headers["x-request-id"] == given
    assert said.said[1]["body"].decode() == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "a\r\nSet-Cookie: x", "a;b", "café"])
def test_any_other_request_id_is_replaced_by_a_new_one(given: str | None) -> None:
    headers = [] if given is None else [("x-request-id", given)]
    ids = {through_middleware(echo, chunks(b""), *headers).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_a_content_length_over_the_limit_is_refused_before_the_application_sees_the_request() -> None:
    said = through_middleware(fail, chunks(b"x" * (LIMIT + 1)), ("content-length", str(LIMIT + 1)))
    assert (said.status, said.content["code"]) == (413, "body_too_large")
    assert said.content["request_id"] == said.headers["x-request-id"]
    assert str(LIMIT) in said.content["detail"]


def test_a_content_length_at_the_limit_is_let_in() -> None:
    assert through_middleware(echo, chunks(b"x" * LIMIT), ("content-length", str(LIMIT))).status == 200


def test_an_absurd_content_length_is_too_large() -> None:
    assert through_middleware(echo, [GONE], ("content-length", "9" * 25)).status == 413


def test_a_body_over_the_limit_is_refused_at_the_first_byte_too_many() -> None:
    heard: list[int] = []

    async def count(_scope: Any, receive: Any, _send: Any) -> None:
        while True:
            heard.append(len((await receive())["body"]))

    said = through_middleware(count, chunks(b"x" * (LIMIT - 1), b"x", b"", b"!", b"drained"), CHUNKED)
    assert heard == [LIMIT - 1, 1, 0]
    assert (said.status, said.content["code"], said.num_received) == (413, "body_too_large", 5)


def endless() -> Iterator[Message]:
    while True:
        yield {"type": "http.request", "body": bytes(1024 * 1024), "more_body": True}


@pytest.mark.parametrize("header", [CHUNKED, ("content-length", "999"), ("content-length", str(2**40))])
def test_a_refused_body_is_drained_up_to_a_bound(header: tuple[str, str]) -> None:
    said = through_middleware(refuse, endless(), header)
    assert said.status in {413, 415}
    assert said.num_received == DRAIN_BYTES // 1024**2


def test_of_a_body_without_a_key_little_is_drained() -> None:
    guarded = middleware(fail, keys=("a key of sixteen",))
    said = asyncio.run(ask(guarded, endless(), [CHUNKED]))
    assert (said.status, said.num_received) == (401, 1)


@pytest.mark.parametrize("path", ["/classify", "/features"])
def test_a_query_that_holds_more_than_all_options_is_refused_unread(path: str) -> None:
    said = asyncio.run(ask(middleware(fail), path=path, query="include=," + "a," * 2048))
    assert (said.status, said.content["code"]) == (422, "invalid_option")
    assert len(said.text) < 500


class Dripping(Exchange):
    """A client that sends ``num_bytes`` each ``pause_s`` seconds, so many times."""

    def __init__(self, pause_s: float, num_bytes: int, count: int = 10_000) -> None:
        super().__init__([])
        self._pause_s, self._num_bytes, self._count = pause_s, num_bytes, count

    async def receive(self) -> Message:
        await asyncio.sleep(self._pause_s)  # on a clock that jumps
        self.num_received += 1
        return {"type": "http.request", "body": bytes(self._num_bytes), "more_body": self.num_received < self._count}


def dripped(client: Dripping) -> Exchange:
    """What becomes of its request."""
    generous = middleware(echo, settings=Settings())
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        return runner.run(ask(generous, headers=[CHUNKED], exchange=client))


@pytest.mark.parametrize(("num_bytes", "pause_s"), [(1, 1.0), (1, 5.0), (4000, 1.0), (40_000, 11.0)])
def test_a_body_that_comes_too_slowly_is_not_waited_for(num_bytes: int, pause_s: float) -> None:
    """64 sockets with one byte each 20 s turned all other requests into 429 for ten minutes."""
    said = dripped(Dripping(pause_s, num_bytes))
    assert (said.status, said.content["code"]) == (408, "upload_timeout")


@pytest.mark.parametrize(("num_bytes", "pause_s"), [(5000, 1.0), (50_000, 9.0), (65536, 0.01)])
def test_a_body_may_come_slowly(num_bytes: int, pause_s: float) -> None:
    assert dripped(Dripping(pause_s, num_bytes, count=60)).status == 200


def test_a_body_that_comes_takes_no_place() -> None:
    """One place, and a client that is still sending: others are let in."""

    async def run() -> None:
        sending = asyncio.Event()

        class Sending(Exchange):
            async def receive(self) -> Message:
                sending.set()
                await asyncio.Event().wait()
                raise AssertionError

        one_place = middleware(echo, max_requests=1)
        slow = asyncio.create_task(ask(one_place, headers=[CHUNKED], exchange=Sending(())))
        await sending.wait()
        assert (await ask(one_place, chunks(b"x"), [CHUNKED])).status == 200
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    asyncio.run(run())


def test_a_refused_body_is_drained_to_its_end_before_the_answer_is_over() -> None:
    said = through_middleware(refuse, chunks(b"a", b"b", b"c"), CHUNKED)
    assert (said.status, said.num_received) == (415, 3)
    assert said.headers["connection"] == "close"


def test_a_body_that_stops_coming_delays_a_refusal_by_seconds_only() -> None:
    class Stalled(Exchange):
        async def receive(self) -> Message:
            await asyncio.Event().wait()
            raise AssertionError

    exchange = Stalled([])
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(middleware(refuse)(UPLOAD, exchange.receive, exchange.send))
    assert exchange.status == 415


@pytest.mark.parametrize("headers", [[], [("authorization", "Bearer another")]])
def test_without_a_key_nothing_is_read_but_what_is_drained(headers: list[tuple[str, str]]) -> None:
    guarded = middleware(fail, max_requests=0, keys=("a key of sixteen",))  # no room for anybody
    said = asyncio.run(ask(guarded, chunks(b"a", b"b"), [CHUNKED, ("content-length", "9" * 25), *headers]))
    assert (said.status, said.content["code"], said.num_received) == (401, "unauthorized", 2)
    assert said.headers["www-authenticate"] == "Bearer"
    waiting = asyncio.run(ask(guarded, chunks(b"never asked for"), [CHUNKED, ("expect", "100-continue"), *headers]))
    assert (waiting.status, waiting.num_received) == (401, 0)


def test_the_log_has_the_client_and_the_place_of_its_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    guarded = middleware(refuse, keys=("a-key-of-sixteen", "and-the-one-before-it"))
    asyncio.run(ask(guarded, headers=[("authorization", "Bearer and-the-one-before-it")]))
    [record] = [each.request_record for each in caplog.records if hasattr(each, "request_record")]
    assert (record.fields()["client"], record.fields()["key"]) == ("203.0.113.1", 2)


def test_a_valid_key_is_needed_but_for_open_paths() -> None:
    guarded = middleware(refuse, keys=("a-key-of-sixteen", "and-the-one-before-it"))
    for key in ("a-key-of-sixteen", "and-the-one-before-it"):
        assert asyncio.run(ask(guarded, headers=[("authorization", f"Bearer {key}")])).status == 415
    for method, path, status in [
        ("GET", "/livez", 415),
        ("HEAD", "/metrics", 415),
        ("GET", "/docs", 415),
        ("GET", "/info", 401),
        ("GET", "/none", 401),
    ]:
        assert asyncio.run(ask(guarded, method=method, path=path)).status == status


@pytest.mark.parametrize("app", [refuse, echo])
def test_a_body_that_waits_for_100_continue_is_not_drained(app: Any) -> None:
    said = through_middleware(app, chunks(b"never asked for"), ("content-length", str(LIMIT + 1)), ("expect", "100-Continue"))
    assert (said.status, said.num_received) == (413, 0)


@pytest.mark.parametrize("headers", [[], [("content-length", "0")]])
def test_a_request_without_a_body_is_not_read(headers: list[tuple[str, str]]) -> None:
    assert through_middleware(refuse, [], *headers).status == 415


def test_a_client_that_leaves_while_a_refused_body_is_drained_ends_the_draining() -> None:
    said = through_middleware(refuse, [*chunks(b"a", whole=False), GONE], ("content-length", "999"))
    assert said.num_received == 2


def test_a_bug_is_a_500_that_says_nothing_of_it_but_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    said = through_middleware(fail, chunks(b"a", b"b"), CHUNKED, ("x-request-id", "find-me"))
    assert (said.status, said.content["code"], said.content["request_id"]) == (500, "internal", "find-me")
    assert said.headers["content-type"] == "application/problem+json"
    assert "secret" not in repr(said.said)
    assert said.num_received == 2
    assert CAUSE in caplog.text
    assert {record.__dict__["request_id"] for record in caplog.records if record.exc_info} == {"find-me"}


def test_a_bug_after_the_answer_began_leaves_the_answer_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(CAUSE)

    said = through_middleware(late)
    assert [message["type"] for message in said.said] == ["http.response.start"]
    assert CAUSE in caplog.text


def test_a_client_that_leaves_is_answered_nothing_and_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def read(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    said = through_middleware(read, [GONE], ("x-request-id", "left"))
    assert said.said == []
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]
    assert caplog.records[0].__dict__["request_record"].code == "client_left"


def test_what_is_no_http_passes_untouched() -> None:
    seen: list[Any] = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope: dict[str, Any] = {"type": "lifespan"}
    asyncio.run(middleware(lifespan)(scope, refuse, echo))  # type: ignore[arg-type]
    assert seen == [({"type": "lifespan"}, refuse, echo)]


@pytest.mark.parametrize(("pause_s", "most"), [(31.0, 0), (9.0, 67)])
def test_a_body_that_stops_or_has_no_end_ends_with_its_deadline(pause_s: float, most: int) -> None:
    """Seconds without a byte, or 600 s in all."""
    caught: list[UploadTimeout] = []

    async def read(scope: Any, receive: Any, send: Any) -> None:
        try:
            while True:
                await receive()
        except UploadTimeout as error:
            caught.append(error)
        await PlainTextResponse("late", 408)(scope, receive, send)

    exchange = Dripping(pause_s, 50_000)
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(middleware(read, settings=Settings())(UPLOAD, exchange.receive, exchange.send))
    assert len(caught) == 1
    assert caught[0].headers["Connection"] == "close"
    assert most - 1 <= exchange.num_received <= most
    assert exchange.status == 408


def test_one_request_too_many_is_refused_before_its_body_is_read_and_drained() -> None:
    async def run() -> tuple[Exchange, Exchange, Exchange]:
        inside, go_on = asyncio.Event(), asyncio.Event()

        admission = Admission(1, lambda: Queue(0, 0.0))

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            with admission.place() if scope["method"] == "POST" else nullcontext():
                inside.set()
                await go_on.wait()
            await PlainTextResponse("done")(scope, receive, send)

        app = RequestMiddleware(slow, SETTINGS, ApiKeys(()), admission, Metrics())
        first = asyncio.create_task(ask(app))
        await inside.wait()
        second = await ask(app, chunks(b"a", b"b"), (CHUNKED,))
        probe = asyncio.create_task(ask(app, method="GET", path="/livez"))
        go_on.set()
        return await first, second, await probe

    first, second, probe = asyncio.run(run())
    assert (first.status, probe.status) == (200, 200)
    assert (second.status, second.content["code"], second.num_received) == (429, "overloaded", 2)
    assert int(second.headers["retry-after"]) >= 1


def test_a_drain_that_takes_too_long_answers_whom_it_cuts_off() -> None:
    async def run() -> Exchange:
        inside = asyncio.Event()
        exchange = Exchange([])

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            inside.set()
            await receive()

        task = asyncio.create_task(middleware(slow)(dict(UPLOAD), exchange.receive, exchange.send))
        await inside.wait()
        task.cancel()
        await task
        return exchange

    exchange = asyncio.run(run())
    assert (exchange.status, exchange.content["code"]) == (503, "draining")
