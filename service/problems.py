"""Errors as the client gets them: RFC 9457 problem details, the framework's own included; and their place in OpenAPI."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from service import errors
from service.access import Access
from service.errors import ServiceError
from service.journal import RequestRecord
from service.options import invalid_option, printable
from service.schemas import ProblemOut

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "about:blank"  # section 4.2.1: status, code and title say what a type would


def problem(error: ServiceError, record: RequestRecord) -> Response:
    """The answer that tells of the error. It is noted in the request's record, and written to the log with its cause."""
    record.code = error.code
    _write_to_log(error, record)
    content = {"type": TYPE, "title": error.title, "status": error.status, "code": error.code}
    content |= {"detail": str(error), "request_id": record.request_id}
    return Response(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE), error.status, dict(error.headers), MEDIA_TYPE)


def _write_to_log(error: ServiceError, record: RequestRecord) -> None:
    """What a client or another server can bring about in one line; what is wrong here with the stack."""
    ours = isinstance(error, errors.Internal)
    cause = f" ({printable(repr(error.__cause__), 500)})" if error.__cause__ else ""
    level, stack = (logging.ERROR, error) if ours else (logging.INFO, None)
    log.log(level, "%s: %s%s", error.code, error, cause, exc_info=stack, extra=record.ids())


def responses(*classes: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of these errors: for each status its codes, and the first of them as the example."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in sorted(classes, key=lambda error: error.status):
        entry = found.setdefault(error.status, {"model": ProblemOut, "description": "Problem:"})
        entry["description"] += f" `{error.code}` ({error.title.lower()})."
        example = {"type": TYPE, "title": error.title, "status": error.status, "code": error.code}
        example |= {"detail": "What to do about it.", "request_id": "0f4c2b7de1a94a57a6a2b1d9c3e85f60"}
        entry.setdefault("content", {"application/json": {"example": example}})
    return found


def install(app: FastAPI, access: Access) -> None:
    """Have the application answer every error so, and document it so."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.openapi = lambda: _openapi(app, access)  # type: ignore[method-assign]


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
        ours = errors.NotFound("There is nothing at this path. See /docs for what there is.")
    if error.status_code == 405:
        ours = errors.MethodNotAllowed(f"This path does not take {request.method}. See /docs for what it takes.")
    ours.headers = dict(error.headers or {})
    return problem(ours, request.state.record)


def _openapi(app: FastAPI, access: Access) -> dict[str, Any]:
    """FastAPI's document, with problems under their own media type, and what needs a key."""
    if not app.openapi_schema:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        parts = response["content"].values()  # the schema may stand under the media type of the good answer
                        response["content"] = {MEDIA_TYPE: {key: value for part in parts for key, value in part.items()}}
        access.describe(document)
        app.openapi_schema = document
    return app.openapi_schema
