"""What operators and clients ask about the service itself. None of it waits for the network."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field
from typing_extensions import TypedDict

from service.answers.json_answer import json_response
from service.api.openapi import responses
from service.errors import At
from service.http.endpoints import HEALTH, INFO, LABELS, LIVEZ, METRICS, READYZ, STARTUPZ
from service.lifecycle.readiness import InfoOut, Readiness


class StatusOut(TypedDict):
    """A probe's answer."""

    status: Annotated[str, Field(description="`alive`, `started` or `ready`.", examples=["ready"])]


router = APIRouter(tags=["service"])
EXPOSITION = "The metrics, in Prometheus's text format."
NOT_READY = responses(At.READY)


@router.get(LIVEZ, summary="Is the process alive?", response_model=StatusOut, responses=responses(At.LIVE))
async def livez(request: Request) -> Response:
    """200 as long as a restart would not help."""
    _readiness(request).check_alive()
    return json_response(StatusOut(status="alive"))


@router.get(READYZ, summary="Can it answer now?", response_model=StatusOut, responses=NOT_READY)
@router.get(HEALTH, operation_id="health", summary="The same as /readyz", response_model=StatusOut, responses=NOT_READY)
async def readyz(request: Request) -> Response:
    """200 when the network is warm and its known answer was right, else 503 with the reason."""
    _readiness(request).check_ready()
    return json_response(StatusOut(status="ready"))


@router.get(STARTUPZ, summary="Has it come up?", response_model=StatusOut, responses=NOT_READY)
async def startupz(request: Request) -> Response:
    """503 while the network warms up, with how much of that is done; then 200 for ever."""
    _readiness(request).check_started()
    return json_response(StatusOut(status="started"))


@router.get(METRICS, summary="For Prometheus", response_class=PlainTextResponse, responses={200: {"description": EXPOSITION}})
async def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus's text format. Never refused, whatever the load."""
    body, content_type = request.app.state.metrics.exposition()
    return Response(body, media_type=content_type)


@router.get(INFO, summary="What runs here", response_model=InfoOut, responses=NOT_READY)
async def info(request: Request) -> Response:
    """The card of the model, and how it is run."""
    return json_response(_readiness(request).serving().info)


@router.get(LABELS, summary="The labels by class", response_model=list[str], responses=NOT_READY)
async def labels(request: Request) -> Response:
    """All labels; a label's place in the list, counted from 0, is its class_id."""
    return json_response(_readiness(request).serving().labels)


def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness
