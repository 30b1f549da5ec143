"""POST /features and POST /classify."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service import errors
from service.answers.answer import ClassifyAnswer, FeaturesAnswer
from service.answers.arrays import NpyWriter, NpzWriter
from service.answers.json_answer import JsonWriter
from service.answers.lines import Lines, lines
from service.answers.result import Result, provenance_headers
from service.api.openapi import FORMS, body_of, responses
from service.errors import At, NoClassLayer
from service.http.accept import media_type
from service.http.disconnect import Deadline, unless_left
from service.http.endpoints import CLASSIFY, FEATURES
from service.intake.source import receive
from service.lifecycle.readiness import Serving
from service.options import (
    JSON,
    NDJSON,
    NPY,
    NPZ,
    AnyOptions,
    ClassifyOptions,
    FeaturesOptions,
    Options,
    read_options,
)
from service.pipeline import ClipDone, Opened, Summary
from service.settings import Settings

Steps = AsyncGenerator[Opened | ClipDone | Summary, None]
Writer = JsonWriter | NpyWriter | NpzWriter
ARRAYS: dict[str, type[NpyWriter | NpzWriter]] = {NPY: NpyWriter, NPZ: NpzWriter}

IDLE_S = 60.0  # without a clip: a batch takes seconds, so the queue is longer than any client should wait for

router = APIRouter(tags=["video"])


async def _lifetime() -> AsyncIterator[AsyncExitStack]:
    """What lives until the last byte of the answer has left."""
    async with AsyncExitStack() as stack:
        yield stack


Lifetime = Annotated[AsyncExitStack, Depends(_lifetime)]


@router.post(
    CLASSIFY,
    summary="The labels of a video",
    description="The top-k of the 487 Sports-1M labels: the mean of the softmax outputs of the video's clips.",
    response_model=ClassifyAnswer,
    responses=responses(At.VIDEO) | FORMS,
    openapi_extra=body_of(),
)
async def classify(request: Request, query: Annotated[ClassifyOptions, Query()], lifetime: Lifetime) -> Response:
    """The top-k labels of one video."""
    return await _answer(request, lifetime, ClassifyOptions)


@router.post(
    FEATURES,
    summary="The descriptor of a video",
    description="The L2-normalised mean over clips of fc6 after its ReLU: 4096 numbers (paper, section 3.3).",
    response_model=FeaturesAnswer,
    responses=responses(At.VIDEO) | FORMS,
    openapi_extra=body_of(),
)
async def features(request: Request, query: Annotated[FeaturesOptions, Query()], lifetime: Lifetime) -> Response:
    """The descriptor of one video."""
    return await _answer(request, lifetime, FeaturesOptions)


async def _answer(request: Request, lifetime: AsyncExitStack, kind: type[AnyOptions]) -> Response:
    """From the request to its answer, whose files live as long as ``lifetime``."""
    started = time.perf_counter()
    state, record = request.app.state, request.state.record
    form = media_type(", ".join(request.headers.getlist("accept")))
    serving: Serving = state.readiness.serving()
    _check_labels(serving, needed=kind.gives == "predictions")
    source = await lifetime.enter_async_context(receive(request, state.spool, state.fetcher))
    fetch_s = time.perf_counter() - started
    record.source_kind, record.size_bytes = source.kind, source.size_bytes
    options = read_options(kind, [*request.query_params.multi_items(), *source.fields])
    _check_labels(serving, needed=options.wants("predictions"))
    result = Result(serving, source, options, record, started, fetch_s)
    deadline = _deadline(form, options, state.settings)
    async with AsyncExitStack() as working:
        working.enter_context(state.admission.place())
        steps = await working.enter_async_context(aclosing(deadline.steps(serving.pipeline.run(source.path, options))))
        if form == NDJSON:  # what goes wrong before the first line is a problem like any other
            opened = await unless_left(request, _opened(steps))
            known = provenance_headers(serving.model, result.warnings(opened.info.warnings()))
            await lifetime.enter_async_context(working.pop_all())
            return Lines(lines(result, opened, steps), known)
        writer: Writer = JsonWriter(result, state.max_json_bytes) if form == JSON else ARRAYS[form](result)
        return await unless_left(request, _written(result, steps, writer))


def _check_labels(serving: Serving, *, needed: bool) -> None:
    if needed and not serving.labels:
        raise NoClassLayer("The loaded weights have no class layer: they give descriptors only. Use POST /features.")


def _deadline(form: str, options: Options, settings: Settings) -> Deadline:
    """From now on. Only JSON, which is kept in memory, has to be done in a time that the server sets."""
    total_s, advice = options.timeout_s or math.inf, "Give it a larger timeout_s, or ask for a shorter part of the video."
    if form != JSON:
        return Deadline(total_s, advice, IDLE_S)
    if settings.request_timeout_s < total_s:
        total_s, advice = settings.request_timeout_s, f"Ask for a form without this limit (Accept: {NDJSON}, {NPY} or {NPZ})."
    return Deadline(total_s, advice)


async def _written(result: Result, steps: Steps, writer: Writer) -> Response:
    """The answer in one piece."""
    opened = await _opened(steps)
    writer.begin(opened)
    async for step in steps:
        match step:
            case ClipDone():
                result.add(step)
                await writer.add(step)
            case Summary():
                return await writer.response(opened, step)
    raise errors.Internal("The pipeline ended early. Report this with the request id.")


async def _opened(steps: Steps) -> Opened:
    first = await anext(steps)
    assert isinstance(first, Opened)  # noqa: S101 (it comes first)
    return first
