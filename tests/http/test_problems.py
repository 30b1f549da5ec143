"""Errors as the client gets them, and as the log does."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from service import errors
from service.errors import InvalidOption, NoVideoStream, Warming
from service.http.problems import problem
from service.http.request_log import RequestRecord

RECORD = RequestRecord("an-id", "POST", "/classify")


def test_a_problem_says_its_status_code_title_and_what_to_do() -> None:
    response = problem(InvalidOption("top_k: give a number of 1 or more."), RECORD)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Invalid option",
        "status": 422,
        "code": "invalid_option",
        "detail": "top_k: give a number of 1 or more.",
        "request_id": "an-id",
    }


@pytest.mark.parametrize(("error", "expected"), [(Warming("Wait."), "5"), (NoVideoStream("None."), None)])
def test_a_problem_carries_its_headers(error: Any, expected: str | None) -> None:
    assert problem(error, RECORD).headers.get("retry-after") == expected


def test_the_requests_line_in_the_log_gets_the_reason_and_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    error = NoVideoStream("Send a video.")
    error.__cause__ = ValueError("secret\nforged line")
    body = problem(error, RECORD).body
    assert b"secret" not in bytes(body)
    assert RECORD.code == "no_video_stream"
    assert RECORD.reason == "Send a video. (ValueError('secret\\nforged line'))"
    assert caplog.records == []  # a refusal is one line, and the request's is written at its end


@pytest.mark.parametrize(
    ("error", "lines"), [(errors.Internal("x"), [("ERROR", "an-id")]), (Warming("x"), []), (InvalidOption("x"), [])]
)
def test_only_our_own_failures_have_a_line_of_their_own_with_the_stack(
    caplog: pytest.LogCaptureFixture, error: errors.ServiceError, lines: list[tuple[str, str]]
) -> None:
    caplog.set_level(logging.INFO)
    problem(error, RECORD)
    assert [(each.levelname, each.__dict__["request_id"]) for each in caplog.records] == lines
    assert all(each.exc_info for each in caplog.records)
