"""POST /features and POST /classify."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from service import answers, errors
from service.errors import InvalidOption, NoClassLayer, ServiceError
from service.frames import VideoInfo
from service.pipeline import ClipDone, Summary
from service.readiness import Readiness, Serving
from service.schemas import ClassifyAnswer, ClassifyOptions, FeaturesAnswer, FeaturesOptions, Options, ProblemOut
from service.settings import Settings
from service.source import Source, receive

router = APIRouter(tags=["video"])
AnyOptions = TypeVar("AnyOptions", bound=Options)

VIDEO_ERRORS: tuple[type[ServiceError], ...] = (
    errors.MalformedRequest, errors.BodyTooLarge, errors.UnsupportedMediaType, errors.SourceRequired,
    errors.SourceConflict, errors.InvalidOption, errors.EmptyFile, errors.NoVideoStream, errors.UndecodableVideo,
    errors.Internal, errors.NonFiniteOutput, errors.Warming, errors.Draining, errors.WorkerDown,
    errors.WeightsMissing, errors.KnownAnswerWrong, errors.StartFailed, errors.DiskFull,
)  # fmt: skip


def problems(*classes: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of these errors: for each status its codes, and the first of them as the example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in sorted(classes, key=lambda error: error.status):
        entry = responses.setdefault(error.status, {"model": ProblemOut, "description": "Problem:"})
        entry["description"] += f" `{error.code}` ({error.title.lower()})."
        example = {"type": "about:blank", "title": error.title, "status": error.status, "code": error.code}
        example |= {"detail": "What to do about it.", "request_id": "0f4c2b7de1a94a57a6a2b1d9c3e85f60"}
        entry.setdefault("content", {"application/json": {"example": example}})
    return responses


def _body(options: type[Options]) -> dict[str, Any]:
    """The request body in OpenAPI. It is declared, not parsed, by FastAPI: the handlers stream it to disk themselves."""
    video = {"type": "string", "format": "binary", "description": "The video file."}
    fields = {"file": video, **options.model_json_schema()["properties"]}
    form = {"type": "object", "required": ["file"], "properties": fields}
    raw = {"schema": video, "example": "the bytes of clip.mp4"}
    content = {
        "multipart/form-data": {"schema": form, "example": {"file": "the bytes of clip.mp4"}},
        "application/octet-stream": raw,
        "video/*": raw,
    }
    return {
        "requestBody": {
            "required": True,
            "description": "One video, as a form's `file` or as the body.",
            "content": content,
        }
    }


@router.post(
    "/classify",
    summary="The labels of a video",
    description="The top-k of the 487 Sports-1M labels: the mean of the softmax outputs of the video's clips.",
    response_model=ClassifyAnswer,
    response_model_exclude_none=True,
    responses=problems(*VIDEO_ERRORS, errors.NoClassLayer),
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
    responses=problems(*VIDEO_ERRORS),
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
    settings: Settings = request.app.state.settings
    async with receive(request, request.app.state.spool_dir, settings.max_upload_bytes) as source:
        fetch_s = time.perf_counter() - started
        options = read_options(kind, [*request.query_params.multi_items(), *source.fields])
        result = result_of(options)
        info, summary = await _analyse(serving, source, options, result)
    timings = answers.timings(fetch_s, summary, time.perf_counter() - started)
    about = answers.about(serving, source, info, summary)
    return answers.json_response(result.body() | about | {"timings_ms": timings})


async def _analyse(serving: Serving, source: Source, options: Options, result: answers.Result) -> tuple[VideoInfo, Summary]:
    """Pass the video through the pipeline into the result."""
    info, summary = None, None
    async with aclosing(serving.pipeline.run(source.path, options.clip_stride, options.tail)) as steps:
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


def read_options(kind: type[AnyOptions], given: Iterable[tuple[str, str]]) -> AnyOptions:
    """Options from the query and the body together.

    Raises InvalidOption for an unknown name, a value out of range, or one name with two values.
    """
    values: dict[str, Any] = {}
    for name, value in given:
        if name == "include":
            values.setdefault(name, []).append(value)
        elif values.setdefault(name, value) != value:
            raise InvalidOption(f"{name[:64]} was given twice, with different values. Give it once.")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise invalid_option(error.errors()) from error


def invalid_option(found: Iterable[Any]) -> InvalidOption:
    """What pydantic found wrong, in one sentence for each option."""
    sentences = []
    for each in found:
        name = next((part for part in each["loc"] if isinstance(part, str) and part not in {"query", "body"}), "option")
        sentences.append(f"{name[:64]}: {'there is no such option' if each['type'] == 'extra_forbidden' else each['msg']}.")
    return InvalidOption(" ".join(sentences))
