"""POST /features and POST /classify."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service import answers, errors
from service.errors import NoClassLayer, ServiceError
from service.journal import RequestRecord
from service.options import AnyOptions, ClassifyOptions, FeaturesOptions, Options, read_options
from service.pipeline import ClipDone, Summary
from service.problems import responses
from service.readiness import Readiness, Serving
from service.schemas import ClassifyAnswer, FeaturesAnswer
from service.settings import Settings
from service.source import Source, receive, unless_left
from service.video import VideoInfo

router = APIRouter(tags=["video"])

VIDEO_ERRORS: tuple[type[ServiceError], ...] = (
    errors.MalformedRequest, errors.UrlForbidden, errors.UploadTimeout, errors.BodyTooLarge,
    errors.UnsupportedMediaType, errors.SourceRequired, errors.UrlFetchFailed, errors.UrlFetchTimeout,
    errors.Overloaded, errors.DeadlineExceeded,
    errors.SourceConflict, errors.InvalidOption, errors.EmptyFile, errors.NoVideoStream, errors.UndecodableVideo,
    errors.VideoTooLarge, errors.VideoTooLong,
    errors.TimeRangeOutsideVideo, errors.DecoderFailed, errors.DecodeTimeout,
    errors.Internal, errors.NonFiniteOutput, errors.Warming, errors.Draining, errors.WorkerDown,
    errors.WeightsMissing, errors.KnownAnswerWrong, errors.StartFailed, errors.DiskFull,
)  # fmt: skip


def _body(options: type[Options]) -> dict[str, Any]:
    """The request body in OpenAPI. It is declared, not parsed, by FastAPI: the handlers stream it to disk themselves."""
    video = {"type": "string", "format": "binary", "description": "The video file."}
    fields = {"file": video, **options.model_json_schema()["properties"]}
    form = {"type": "object", "required": ["file"], "properties": fields}
    url = {"type": "string", "format": "uri", "description": "Where the video is; it is fetched by the service."}
    by_url = {"type": "object", "required": ["url"], "properties": {"url": url, **options.model_json_schema()["properties"]}}
    raw = {"schema": video, "example": "the bytes of clip.mp4"}
    content = {
        "multipart/form-data": {"schema": form, "example": {"file": "the bytes of clip.mp4"}},
        "application/octet-stream": raw,
        "video/*": raw,
        "application/json": {"schema": by_url, "example": {"url": "https://example.com/clip.mp4"}},
    }
    return {
        "requestBody": {
            "required": True,
            "description": "One video: a form's `file`, the body, or a URL.",
            "content": content,
        }
    }


@router.post(
    "/classify",
    summary="The labels of a video",
    description="The top-k of the 487 Sports-1M labels: the mean of the softmax outputs of the video's clips.",
    response_model=ClassifyAnswer,
    response_model_exclude_none=True,
    responses=responses(*VIDEO_ERRORS, errors.NoClassLayer),
    openapi_extra=_body(ClassifyOptions),
)
async def classify(request: Request, query: Annotated[ClassifyOptions, Query()]) -> Response:
    """The top-k labels of one video."""
    readiness: Readiness = request.app.state.readiness
    serving = readiness.serving()
    if not serving.labels:
        raise NoClassLayer("The loaded weights have no class layer: they give descriptors only. Ask POST /features.")
    return await _answer(request, serving, ClassifyOptions, lambda options: answers.Labels(options, serving.labels))


@router.post(
    "/features",
    summary="The descriptor of a video",
    description="The L2-normalised mean over clips of fc6 after its ReLU: 4096 numbers (paper, section 3.3).",
    response_model=FeaturesAnswer,
    response_model_exclude_none=True,
    responses=responses(*VIDEO_ERRORS),
    openapi_extra=_body(FeaturesOptions),
)
async def features(request: Request, query: Annotated[FeaturesOptions, Query()]) -> Response:
    """The descriptor of one video."""
    readiness: Readiness = request.app.state.readiness
    return await _answer(request, readiness.serving(), FeaturesOptions, answers.Descriptor)


async def _answer(
    request: Request, serving: Serving, kind: type[AnyOptions], result_of: Callable[[AnyOptions], answers.Result]
) -> Response:
    started = time.perf_counter()
    state = request.app.state
    settings: Settings = state.settings
    async with receive(request, state.spool, settings.max_upload_bytes, state.fetcher) as source:
        fetch_s = time.perf_counter() - started
        request.state.record.source_kind, request.state.record.size_bytes = source.kind, source.size_bytes
        options = read_options(kind, [*request.query_params.multi_items(), *source.fields])
        result = result_of(options)
        timeout_s = min(settings.request_timeout_s, options.timeout_s or settings.request_timeout_s)
        info, summary = await unless_left(request, _analyse(serving, source, options, result), timeout_s)
    timings = answers.timings(fetch_s, summary, time.perf_counter() - started)
    about = answers.about(serving, source, info, summary)
    record: RequestRecord = request.state.record
    record.stages_ms = timings
    record.container, record.codec = info.container, info.codec
    record.num_frames, record.num_clips = about["video"]["num_frames"]["decoded"], result.num_clips
    return answers.json_response(result.body() | about | {"timings_ms": timings})


async def _analyse(serving: Serving, source: Source, options: Options, result: answers.Result) -> tuple[VideoInfo, Summary]:
    """Pass the video through the pipeline into the result."""
    info, summary = None, None
    async with aclosing(serving.pipeline.run(source.path, options)) as steps:
        async for step in steps:
            match step:
                case ClipDone():
                    result.add(step)
                case VideoInfo():
                    info = step
                case Summary():
                    summary = step
    if info is None or summary is None:
        raise errors.Internal("The pipeline ended early. Report this with the request id.")
    return info, summary
