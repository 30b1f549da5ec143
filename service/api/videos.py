"""POST /features and POST /classify."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service import errors
from service.answers.arrays import NpyAnswer, NpzAnswer
from service.answers.json_answer import Job, JsonAnswer
from service.answers.lines import Lines, Patience, lines
from service.answers.result import Result, video_id
from service.api.openapi import FORMS, body_of, responses
from service.api.schemas import ClassifyAnswer, FeaturesAnswer
from service.errors import NoClassLayer, ServiceError
from service.http.disconnect import unless_left
from service.intake.source import receive
from service.lifecycle.readiness import Serving
from service.options import JSON, NDJSON, NPY, NPZ, AnyOptions, ClassifyOptions, FeaturesOptions, media_type, read_options
from service.pipeline import ClipDone, Opened, Summary

Steps = AsyncGenerator[Opened | ClipDone | Summary, None]
Whole = JsonAnswer | NpyAnswer | NpzAnswer
ARRAYS: dict[str, type[NpyAnswer | NpzAnswer]] = {NPY: NpyAnswer, NPZ: NpzAnswer}

router = APIRouter(tags=["video"])

VIDEO_ERRORS: tuple[type[ServiceError], ...] = (
    errors.MalformedRequest, errors.UrlForbidden, errors.NotAcceptable, errors.UploadTimeout, errors.BodyTooLarge,
    errors.AnswerTooLarge,
    errors.UnsupportedMediaType, errors.SourceRequired, errors.UrlFetchFailed, errors.UrlFetchTimeout,
    errors.Overloaded, errors.DeadlineExceeded,
    errors.SourceConflict, errors.InvalidOption, errors.EmptyFile, errors.NoVideoStream, errors.UndecodableVideo,
    errors.VideoTooLarge, errors.VideoTooLong,
    errors.TimeRangeOutsideVideo, errors.DecoderFailed, errors.DecodeTimeout,
    errors.Internal, errors.NonFiniteOutput, errors.NoClassLayer, errors.Warming, errors.Draining, errors.WorkerDown,
    errors.WeightsMissing, errors.KnownAnswerWrong, errors.StartFailed, errors.DiskFull,
)  # fmt: skip


async def _lifetime() -> AsyncIterator[AsyncExitStack]:
    """What lives until the last byte of the answer has left."""
    async with AsyncExitStack() as stack:
        yield stack


Lifetime = Annotated[AsyncExitStack, Depends(_lifetime)]


@router.post(
    "/classify",
    summary="The labels of a video",
    description="The top-k of the 487 Sports-1M labels: the mean of the softmax outputs of the video's clips.",
    response_model=ClassifyAnswer,
    response_model_exclude_none=True,
    responses=responses(*VIDEO_ERRORS) | FORMS,
    openapi_extra=body_of(ClassifyOptions),
)
async def classify(request: Request, query: Annotated[ClassifyOptions, Query()], lifetime: Lifetime) -> Response:
    """The top-k labels of one video."""
    return await _answer(request, lifetime, ClassifyOptions)


@router.post(
    "/features",
    summary="The descriptor of a video",
    description="The L2-normalised mean over clips of fc6 after its ReLU: 4096 numbers (paper, section 3.3).",
    response_model=FeaturesAnswer,
    response_model_exclude_none=True,
    responses=responses(*VIDEO_ERRORS) | FORMS,
    openapi_extra=body_of(FeaturesOptions),
)
async def features(request: Request, query: Annotated[FeaturesOptions, Query()], lifetime: Lifetime) -> Response:
    """The descriptor of one video."""
    return await _answer(request, lifetime, FeaturesOptions)


async def _answer(request: Request, lifetime: AsyncExitStack, kind: type[AnyOptions]) -> Response:
    """From the request to its answer, whose files live as long as ``lifetime``."""
    started = time.perf_counter()
    state, record = request.app.state, request.state.record
    form = media_type(request.headers.get("accept"))
    serving: Serving = state.readiness.serving()
    _check_labels(serving, needed=kind.gives == "predictions")
    source = await lifetime.enter_async_context(receive(request, state.spool, state.fetcher))
    fetch_s = time.perf_counter() - started
    record.source_kind, record.size_bytes = source.kind, source.size_bytes
    options = read_options(kind, [*request.query_params.multi_items(), *source.fields])
    _check_labels(serving, needed=options.wants("predictions"))
    result = Result(options, serving.labels, video_id(source, serving.model, options))
    job = Job(serving, source, result, record, started, fetch_s)
    steps = await lifetime.enter_async_context(aclosing(serving.pipeline.run(source.path, options)))
    if form == NDJSON:
        return await _streamed(request, job, steps)
    whole: Whole = JsonAnswer(job, state.max_json_bytes) if form == JSON else ARRAYS[form](job)
    timeout_s = min(state.settings.request_timeout_s, options.timeout_s or math.inf)
    return await unless_left(request, _collected(job, steps, whole), timeout_s)


def _check_labels(serving: Serving, *, needed: bool) -> None:
    if needed and not serving.labels:
        raise NoClassLayer("The loaded weights have no class layer: they give descriptors only. Ask POST /features.")


async def _collected(job: Job, steps: Steps, whole: Whole) -> Response:
    """Pass the video into an answer of one piece."""
    opened = await _opened(steps)
    whole.begin(opened)
    async for step in steps:
        match step:
            case ClipDone():
                job.result.add(step)
                await whole.add(step)
            case Summary():
                return await whole.response(job.ending(opened, step))
    raise errors.Internal("The pipeline ended early. Report this with the request id.")


async def _streamed(request: Request, job: Job, steps: Steps) -> Response:
    """Begin an answer that goes on line by line. What goes wrong before the first one is a problem like any other."""
    settings = request.app.state.settings
    opened = await unless_left(request, _opened(steps), settings.request_timeout_s)
    patience = Patience(job.result.options.timeout_s)
    return Lines(lines(job, opened, steps, patience))


async def _opened(steps: Steps) -> Opened:
    first = await anext(steps)
    assert isinstance(first, Opened)  # noqa: S101 (it comes first)
    return first
