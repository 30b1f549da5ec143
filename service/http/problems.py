"""Errors as the client gets them: RFC 9457 problem details, the framework's own included."""

from __future__ import annotations

import logging
from typing import Annotated, Literal, NotRequired

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from service import errors
from service.errors import ServiceError, invalid_option, printable
from service.http.request_log import RequestRecord
from service.options import Options

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "about:blank"  # section 4.2.1: status, code and title say what a type would


class ProblemOut(TypedDict):
    """RFC 9457: what went wrong."""

    type: Annotated[str, Field(description="Always about:blank: the code says what a type would.", examples=["about:blank"])]
    title: Annotated[str, Field(description="The code in words.", examples=["No video in the file"])]
    status: Annotated[int, Field(description="The HTTP status.", examples=[422])]
    code: Annotated[str, Field(description="Stable; docs/http-api.md lists all.", examples=["no_video_stream"])]
    detail: Annotated[
        str, Field(description="What to do about it.", examples=["The file holds no video, only sound or a still picture."])
    ]
    request_id: Annotated[
        str, Field(description="Under which the log holds the cause.", examples=["0f4c2b7de1a94a57a6a2b1d9c3e85f60"])
    ]
    error: NotRequired[
        Annotated[str, Field(description="Under /v2, whose protocol wants it: the detail again.", examples=["Ask again."])]
    ]


class ErrorLine(TypedDict):
    """The last line of a stream in which something went wrong."""

    type: Annotated[Literal["error"], Field(description="Of the line.", examples=["error"])]
    error: ProblemOut


def problem(error: ServiceError, record: RequestRecord) -> Response:
    """The answer that tells of the error."""
    body = orjson.dumps(problem_fields(error, record), option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, error.status, dict(error.headers), MEDIA_TYPE)


def last_line(error: ServiceError, record: RequestRecord) -> bytes:
    """The same at the end of an answer in lines."""
    line: ErrorLine = {"type": "error", "error": problem_fields(error, record)}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def problem_fields(error: ServiceError, record: RequestRecord) -> ProblemOut:
    """The problem's fields. The request's line in the log has the reason; our own failures have a line with the stack too."""
    record.code = error.code
    cause = f" ({printable(repr(error.__cause__), 500)})" if error.__cause__ else ""
    if isinstance(error, errors.Internal):
        log.error("%s: %s%s", error.code, error, cause, exc_info=error, extra=record.ids())
    else:
        record.reason = f"{error}{cause}"
    content: ProblemOut = {
        "type": TYPE,
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": str(error),
        "request_id": record.request_id,
    }
    if record.is_v2():
        content["error"] = str(error)  # where that protocol looks for it
    return content


def install(app: FastAPI) -> None:
    """Have the application answer every error so."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101 (registered for nothing else; likewise below)
    return problem(error, request.state.record)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return problem(invalid_option(error.errors(), Options.model_fields), request.state.record)


async def _on_http(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our words."""
    assert isinstance(error, HTTPException)  # noqa: S101
    ours: ServiceError = errors.MalformedRequest("The request cannot be understood. See /docs.")
    if error.status_code == 404:
        only = "The only model is c3d, in version 1. " if request.state.record.is_v2() else ""
        ours = errors.NotFound(f"There is nothing at this path. {only}See /docs for what there is.")
    if error.status_code == 405:
        ours = errors.MethodNotAllowed(f"This path does not accept {request.method}. See /docs for what it accepts.")
    ours.headers = dict(error.headers or {})
    return problem(ours, request.state.record)
