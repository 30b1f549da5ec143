"""Errors as the client gets them: RFC 9457 problem details, the framework's own included."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service import errors
from service.errors import ServiceError, invalid_option, printable
from service.http.request_log import RequestRecord

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "about:blank"  # section 4.2.1: status, code and title say what a type would


def problem(error: ServiceError, record: RequestRecord) -> Response:
    """The answer that tells of the error."""
    body = orjson.dumps(problem_fields(error, record), option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, error.status, dict(error.headers), MEDIA_TYPE)


def last_line(error: ServiceError, record: RequestRecord) -> bytes:
    """The same at the end of an answer in lines."""
    return orjson.dumps({"type": "error", "error": problem_fields(error, record)}, option=orjson.OPT_APPEND_NEWLINE)


def problem_fields(error: ServiceError, record: RequestRecord) -> dict[str, Any]:
    """The problem's fields. The request's line in the log has the reason; our own failures have a line with the stack too."""
    record.code = error.code
    cause = f" ({printable(repr(error.__cause__), 500)})" if error.__cause__ else ""
    if isinstance(error, errors.Internal):
        log.error("%s: %s%s", error.code, error, cause, exc_info=error, extra=record.ids())
    else:
        record.reason = f"{error}{cause}"
    content = {"type": TYPE, "title": error.title, "status": error.status, "code": error.code}
    content |= {"detail": str(error), "request_id": record.request_id}
    return content | ({"error": content["detail"]} if record.is_v2() else {})  # where that protocol looks for it


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
    return problem(invalid_option(error.errors()), request.state.record)


async def _on_http(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our words."""
    assert isinstance(error, HTTPException)  # noqa: S101
    ours: ServiceError = errors.MalformedRequest("The request cannot be understood. See /docs.")
    if error.status_code == 404:
        only = "The only model is c3d, in version 1. " if request.state.record.is_v2() else ""
        ours = errors.NotFound(f"There is nothing at this path. {only}See /docs for what there is.")
    if error.status_code == 405:
        ours = errors.MethodNotAllowed(f"This path does not take {request.method}. See /docs for what it takes.")
    ours.headers = dict(error.headers or {})
    return problem(ours, request.state.record)
