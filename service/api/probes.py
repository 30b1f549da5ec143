"""What operators and clients ask about the service itself. None of it waits for the network."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from service import errors
from service.answers.json_answer import json_response
from service.api.openapi import responses
from service.lifecycle.readiness import Readiness


class StatusOut(BaseModel):
    """A probe's answer."""

    status: str = Field(description="`alive`, `started` or `ready`.", examples=["ready"])


class InfoOut(BaseModel):
    """What runs here."""

    model: dict[str, Any] = Field(
        description="The card of the loaded model.", examples=[{"name": "sports1m", "num_classes": 487}]
    )
    backend: str = Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])
    precision: str = Field(description="What the network computes in.", examples=["float32"])
    calibration_sha256: str | None = Field(None, description="Of int8: which calibration.", examples=["5c" * 32])
    batch_sizes: list[int] = Field(description="Clips that may run together.", examples=[[1, 2, 3, 4]])
    version: str = Field(description="Of this service.", examples=["0.1.0"])


router = APIRouter(tags=["service"])
METRICS = "The metrics, in Prometheus's text format."
NOT_READY = responses(
    errors.Warming,
    errors.Draining,
    errors.WorkerDown,
    errors.WeightsMissing,
    errors.KnownAnswerWrong,
    errors.StartFailed,
)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Is the process alive?", response_model=StatusOut, responses=responses(errors.WorkerDown))
async def livez(request: Request) -> Response:
    """200 as long as a restart would not help."""
    _readiness(request).check_alive()
    return json_response({"status": "alive"})


@router.head("/readyz", include_in_schema=False)
@router.head("/health", include_in_schema=False)
@router.get("/readyz", summary="Can it answer now?", response_model=StatusOut, responses=NOT_READY)
@router.get("/health", operation_id="health", summary="The same as /readyz", response_model=StatusOut, responses=NOT_READY)
async def readyz(request: Request) -> Response:
    """200 when the network is warm and its known answer was right, else 503 with the reason."""
    _readiness(request).check_ready()
    return json_response({"status": "ready"})


@router.get("/startupz", summary="Has it come up?", response_model=StatusOut, responses=NOT_READY)
async def startupz(request: Request) -> Response:
    """503 while the network warms up, with how much of that is done; then 200 for ever."""
    _readiness(request).check_started()
    return json_response({"status": "started"})


@router.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse, responses={200: {"description": METRICS}})
async def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus's text format. Never refused, whatever the load."""
    body, content_type = request.app.state.metrics.exposition()
    return Response(body, media_type=content_type)


@router.get("/info", summary="What runs here", response_model=InfoOut, responses=NOT_READY)
async def info(request: Request) -> Response:
    """The card of the model, and how it is run."""
    return json_response(_readiness(request).serving().info)


@router.get("/labels", summary="The labels by class", response_model=list[str], responses=NOT_READY)
async def labels(request: Request) -> Response:
    """All labels; a label's place in the list, counted from 0, is its class_id."""
    return json_response(_readiness(request).serving().labels)


def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness
