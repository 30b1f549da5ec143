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


def test_the_log_gets_the_cause_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    error = NoVideoStream("Send a video.")
    error.__cause__ = ValueError("secret\nforged line")
    body = problem(error, RECORD).body
    assert b"secret" not in bytes(body)
    assert [record.getMessage() for record in caplog.records] == [
        "no_video_stream: Send a video. (ValueError('secret\\nforged line'))"
    ]
    assert caplog.records[0].__dict__["request_id"] == "an-id"
    assert RECORD.code == "no_video_stream"


@pytest.mark.parametrize(("error", "stack"), [(errors.Internal("x"), True), (Warming("x"), False), (InvalidOption("x"), False)])
def test_only_our_own_faults_are_logged_with_their_stack(
    caplog: pytest.LogCaptureFixture, error: errors.ServiceError, *, stack: bool
) -> None:
    caplog.set_level(logging.INFO)
    problem(error, RECORD)
    assert [bool(record.exc_info) for record in caplog.records] == [stack]
