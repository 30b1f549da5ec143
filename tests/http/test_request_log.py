"""service/http/request_log.py: one line a record whatever is in it, and nothing in it that is not known to be harmless."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import uvicorn

from service.app import create_app
from service.http import request_log
from service.http.endpoints import OTHER
from service.http.request_log import (
    MAX_FIELD,
    MAX_STACK,
    JsonLines,
    RequestRecord,
    TextLines,
    configure,
    server_timing,
    trace_id_of,
)
from service.settings import Settings

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"
FORGERIES = [
    "a\nb",
    "a\r\nb",
    "a\x0bb",
    "a\x1b[2Jb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\x00b",
    "a\x9bb",
    "a\ud800b",
    'a", "x": "b',
]


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of the service, and everything as it was afterwards."""
    names = ["", *request_log.OURS, "uvicorn.error", "uvicorn.access", "service.test"]
    loggers = {name: logging.getLogger(name) for name in names}
    before = {name: (each.handlers[:], each.level, each.propagate) for name, each in loggers.items()}
    loggers[""].handlers = []  # pytest's own must not be closed by basicConfig
    yield loggers["service.test"]
    logging.captureWarnings(capture=False)
    for name, (handlers, level, propagate) in before.items():
        loggers[name].handlers, loggers[name].propagate = handlers, propagate
        loggers[name].setLevel(level)


def written(formatter: logging.Formatter, message: object, *arguments: object, **given: Any) -> str:
    """What the formatter makes of a record with this message, these `extra` fields and, as ``exc_info``, this exception."""
    error = given.pop("exc_info", None)
    information = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("service.test", logging.WARNING, "/path/of/test.py", 1, message, arguments, information)
    record.created = 1_700_000_000.1239
    vars(record).update(given)
    return formatter.format(record)


def entry(message: object, *arguments: object, **given: Any) -> dict[str, Any]:
    """The same as the JSON says it, from one line."""
    line = written(JsonLines(), message, *arguments, **given)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    found: dict[str, Any] = json.loads(line)
    return found


def failure(text: str) -> OSError:
    """An exception with a stack and a cause."""

    def fail(nothing: dict[str, str]) -> None:
        try:
            nothing["inner"]
        except KeyError as error:
            raise OSError(text) from error

    with pytest.raises(OSError) as raised:  # noqa: PT011 (its text is the caller's)
        fail({})
    return raised.value


def full_record() -> RequestRecord:
    return RequestRecord(
        request_id="an-id",
        method="POST",
        endpoint="/classify",
        trace_id=TRACE,
        source_kind="form",
        size_bytes=52341,
        container="mov,mp4,m4a,3gp,3g2,mj2",
        codec="h264",
        num_frames=40,
        num_clips=4,
        stages_ms={"fetch": 2.123, "decode": 38.44, "queue": 0.0, "model": 612.0},
        status=200,
        code="ok",
        seconds=0.6543219,
    )


def lines_of(stream: io.StringIO | str) -> list[str]:
    return (stream if isinstance(stream, str) else stream.getvalue()).split("\n")[:-1]


# One record, one line


def test_a_record_is_one_object() -> None:
    assert entry("%d of %s", 3, "four") == {
        "timestamp": "2023-11-14T22:13:20.123Z",
        "level": "WARNING",
        "logger": "service.test",
        "message": "3 of four",
    }


def test_ids_are_given_by_extra() -> None:
    found = entry("hello", request_id="an-id", trace_id=TRACE)
    assert (found["request_id"], found["trace_id"]) == ("an-id", TRACE)


def test_no_other_extra_gets_out() -> None:
    given = {"password": "secret", "color_message": "\x1b[1m", "args_of": object(), "request_record": {"url": "secret"}}
    assert set(entry("hello", **given)) == {"timestamp", "level", "logger", "message"}
    assert written(TextLines(), "hello", **given).endswith("service.test: hello")


@pytest.mark.parametrize("text", FORGERIES, ids=ascii)
def test_no_text_begins_a_line_of_its_own(text: str) -> None:
    found = entry("said %s", text, request_id=text)
    assert (found["message"], found["request_id"]) == (f"said {text}", text)
    line = written(TextLines(), "said %s", text, request_id=text)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert line.encode()


@pytest.mark.parametrize("text", FORGERIES, ids=ascii)
def test_an_exception_stays_in_its_record(text: str) -> None:
    error = failure(text)
    found = entry("it failed", exc_info=error)
    assert found["message"] == "it failed"
    assert found["exc"].startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'inner'" in found["exc"]
    assert found["exc"].endswith(f"OSError: {text}")
    head, *stack = written(TextLines(), "it failed", exc_info=error).splitlines()
    assert head.endswith("service.test: it failed")
    assert stack
    assert all(line.startswith("    ") and line.isprintable() for line in stack)


def test_a_stack_is_kept_too() -> None:
    assert entry("here", stack_info="Stack:\n  a line")["exc"] == "Stack:\n  a line"


def test_a_record_made_without_an_exception_at_hand_says_none() -> None:
    record = logging.LogRecord("service.test", logging.ERROR, "", 1, "nothing failed", (), (None, None, None))
    assert "exc" not in json.loads(JsonLines().format(record))
    assert TextLines().format(record).endswith("nothing failed")


def test_formatting_leaves_the_record_to_other_handlers() -> None:
    record = logging.LogRecord("service.test", logging.ERROR, "", 1, "%s", ("a\nb",), None)
    before = vars(record).copy()
    TextLines().format(record)
    JsonLines().format(record)
    assert {name: vars(record)[name] for name in before} == before


# One request, one line


def test_a_request_is_one_line_at_info(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json", log_level="info"))
    full_record().write(log)
    [line] = lines_of(capsys.readouterr().err)
    found = json.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "level": "INFO",
        "logger": "service.test",
        "message": "POST /classify 200 ok",
        "request_id": "an-id",
        "method": "POST",
        "endpoint": "/classify",
        "trace_id": TRACE,
        "source_kind": "form",
        "size_bytes": 52341,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "codec": "h264",
        "num_frames": 40,
        "num_clips": 4,
        "status": 200,
        "code": "ok",
        "seconds": 0.6543,
        "fetch_ms": 2.1,
        "decode_ms": 38.4,
        "queue_ms": 0.0,
        "model_ms": 612.0,
    }


def test_people_read_the_same(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="text"))
    full_record().write(log)
    [line] = lines_of(capsys.readouterr().err)
    assert " INFO service.test: POST /classify 200 ok request_id=an-id " in line
    assert line.endswith(" seconds=0.6543 fetch_ms=2.1 decode_ms=38.4 queue_ms=0.0 model_ms=612.0")


def test_what_was_never_known_is_left_out() -> None:
    record = RequestRecord("an-id", "POST", "/features")
    assert record.fields() == {"request_id": "an-id", "method": "POST", "endpoint": "/features", "source_kind": "none"}
    assert entry("x", request_record=record).keys() == {"timestamp", "level", "logger", "message", *record.fields()}


def test_a_client_that_left_has_no_status(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"))
    RequestRecord("an-id", "POST", "/features", code="client_left", seconds=0.0).write(log)
    found = json.loads(capsys.readouterr().err)
    assert (found["message"], found["seconds"], "status" in found) == ("POST /features - client_left", 0.0, False)


@pytest.mark.parametrize(
    "path", ["/classify?key=secret", "/secret", "/classify/", "//classify", "", "http://me:secret@host/", "/a\nb"]
)
def test_a_path_that_is_none_of_ours_is_not_written(path: str) -> None:
    assert RequestRecord("an-id", "POST", path).fields()["endpoint"] == "other"


@pytest.mark.parametrize("method", ["post", "SECRET", "", "GET\n"])
def test_a_method_that_is_none_is_not_written(method: str) -> None:
    assert RequestRecord("an-id", method, "/classify").fields()["method"] == "other"


def test_stages_that_are_none_are_not_written() -> None:
    record = RequestRecord("an-id", "POST", "/classify", stages_ms={"fetch": 1.0, "secret": 2.0, "total": 3.0})
    assert [name for name in record.fields() if name.endswith("_ms")] == ["fetch_ms"]


def test_every_documented_path_is_a_known_route() -> None:
    assert [
        path for path in create_app(Settings()).openapi()["paths"] if RequestRecord("an-id", "GET", path).endpoint == OTHER
    ] == []


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v2", "/v2"),
        ("/v2/models/c3d/versions/1/infer", "/v2/models/c3d/infer"),
        ("/v2/models/secret/infer", "/v2/other"),
        ("/v2/models/c3d/versions/secret", "/v2/other"),
        ("/v2/", "/v2/other"),
        ("/v2secret", "other"),
        ("/classify/versions/1", "other"),
    ],
)
def test_no_name_of_a_model_is_written(path: str, endpoint: str) -> None:
    assert RequestRecord("an-id", "POST", path).fields()["endpoint"] == endpoint


@pytest.mark.parametrize("name", ["client", "code", "reason", "container"])
def test_every_field_of_a_line_is_bounded(name: str) -> None:
    record = RequestRecord("an-id", "POST", "/classify", **{name: "x" * 1_000_000})  # type: ignore[arg-type]
    assert len(written(JsonLines(), "hello", request_record=record)) < 2 * MAX_FIELD
    assert "998000 characters more" in written(TextLines(), "hello", request_record=record)


def test_messages_and_stacks_are_bounded() -> None:
    error = failure("x" * 1_000_000)
    for formatter in (JsonLines(), TextLines()):
        assert len(written(formatter, "%s", "m" * 1_000_000, exc_info=error)) < 2 * (MAX_FIELD + MAX_STACK)


# Headers


@pytest.mark.parametrize(
    "header",
    [VALID, f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-ff", f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes.next"],
)
def test_a_trace_is_taken_over(header: str) -> None:
    assert trace_id_of(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        TRACE,
        VALID.upper(),
        VALID[:-1],
        f" {VALID}",
        f"{VALID} ",
        f"{VALID}\n",
        f"{VALID}-",
        f"{VALID}-more",  # version 00 ends behind its flags
        f"ff-{TRACE}-{SPAN}-01",  # no version
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"01-{TRACE}-{SPAN}-01more",
        f"01-{TRACE}-{SPAN}-01-a\nb",
        f"{VALID},{VALID}",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",  # a digit, but none of ASCII's
    ],
)
def test_a_trace_that_is_none_is_not(header: str | None) -> None:
    assert trace_id_of(header) is None


def test_server_timing_is_milliseconds_by_stage() -> None:
    assert server_timing({"fetch": 2.123, "decode": 38.44}) == "fetch;dur=2.1, decode;dur=38.4"
    assert server_timing({"total": 1_234_567.89, "queue": 0}) == "total;dur=1234567.9, queue;dur=0.0"
    assert server_timing({}) == ""


# Configuration


@pytest.mark.parametrize(
    ("log_format", "terminal", "as_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
def test_auto_is_text_at_a_terminal_and_json_elsewhere(
    log: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    log_format: Literal["auto", "json", "text"],
    *,
    terminal: bool,
    as_json: bool,
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    configure(Settings(log_format=log_format))
    log.info("hello")
    [line] = lines_of(stderr)
    assert line.startswith("{") == as_json


@pytest.mark.parametrize("own_configuration_first", [False, True])
def test_uvicorn_writes_in_the_same_form(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], *, own_configuration_first: bool
) -> None:
    if own_configuration_first:
        uvicorn.Config("x:y")
    configure(Settings(log_format="json"))
    uvicorn.Config("x:y", log_config=None, access_log=False)  # as server.py has it
    message = "Uvicorn running on %s://%s:%d"
    logging.getLogger("uvicorn.error").warning(message, "http", "::1", 80, extra={"color_message": "\x1b[1m"})
    [line] = lines_of(capsys.readouterr().err)
    found = json.loads(line)
    assert set(found) == {"timestamp", "level", "logger", "message"}
    assert (found["logger"], found["message"]) == ("uvicorn.error", "Uvicorn running on http://::1:80")


def test_other_libraries_are_heard_from_warnings_on(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json", log_level="debug"))
    stranger = logging.getLogger("a_library")
    stranger.debug("GET https://example.com/?key=secret")
    stranger.info("GET https://example.com/?key=secret")
    stranger.warning("heard")
    log.debug("heard too")
    assert [json.loads(line)["message"] for line in lines_of(capsys.readouterr().err)] == ["heard", "heard too"]


def test_the_level_holds_for_all(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json", log_level="error"))
    logging.getLogger("a_library").warning("not heard")
    log.warning("not heard")
    log.error("heard")
    assert [json.loads(line)["message"] for line in lines_of(capsys.readouterr().err)] == ["heard"]


@pytest.mark.usefixtures("log")
def test_warnings_of_python_are_lines_like_all(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(Settings(log_format="json"))
        warnings.warn("this will change", FutureWarning, stacklevel=1)
    [line] = lines_of(capsys.readouterr().err)
    found = json.loads(line)
    assert found["logger"] == "py.warnings"
    assert "FutureWarning: this will change" in found["message"]
