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
from service.lifecycle.readiness import READY, InfoOut, Readiness
from service.video.messages import CODECS, CONTAINERS


class StatusOut(TypedDict):
    """A probe's answer."""

    status: Annotated[str, Field(description="`alive`, `started` or `ready`.", examples=["ready"])]


class LimitsOut(TypedDict):
    """What a request may be, so that a client need not find out by refusals."""

    max_upload_bytes: Annotated[int, Field(description="Of a body, or of the file behind a URL.", examples=[536870912])]
    max_pixels: Annotated[int, Field(description="Of a frame.", examples=[9437184])]
    max_video_s: Annotated[float, Field(description="Seconds of a video.", examples=[7200.0])]
    containers: Annotated[list[str], Field(description="Formats, as FFmpeg names them.", examples=[["mp4", "avi"]])]
    codecs: Annotated[list[str], Field(description="Codecs, as FFmpeg names them.", examples=[["h264", "hevc"]])]
    key_needed: Annotated[bool, Field(description="Whether requests must carry a key.", examples=[False])]
    urls: Annotated[str, Field(description="What may be fetched: `public`, `private` or `off`.", examples=["public"])]


class ServiceOut(InfoOut):
    """What runs here, and what it takes."""

    status: Annotated[str, Field(description="`ready`, or the code of the error why not, as `warming`.", examples=["ready"])]
    limits: LimitsOut
    clips_per_s: Annotated[float, Field(description="Clips run in a second lately; 0 before the first.", examples=[6.4])]


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
    return json_response(StatusOut(status=READY))


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


@router.get(INFO, summary="What runs here", response_model=ServiceOut)
async def info(request: Request) -> Response:
    """The limits of requests, from the start; once the network is loaded, the card of the model and how it is run."""
    readiness, settings = _readiness(request), request.app.state.settings
    limits: LimitsOut = {
        "max_upload_bytes": settings.max_upload_bytes,
        "max_pixels": settings.max_pixels,
        "max_video_s": settings.max_video_s,
        "containers": CONTAINERS.split(","),
        "codecs": CODECS.split(","),
        "key_needed": bool(settings.api_keys()),
        "urls": settings.urls,
    }
    clips_per_s = round(readiness.queue().clips_per_s, 3)
    about: ServiceOut = {**readiness.info(), "status": readiness.status(), "limits": limits, "clips_per_s": clips_per_s}
    return json_response(about)


@router.get(LABELS, summary="The labels by class", response_model=list[str], responses=NOT_READY)
async def labels(request: Request) -> Response:
    """All labels; a label's place in the list, counted from 0, is its class_id."""
    return json_response(_readiness(request).serving().labels)


def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness
