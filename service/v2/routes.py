"""The Open Inference Protocol under /v2: clips that the client has cut. Clients of other inference servers speak it too.

https://github.com/kserve/open-inference-protocol. There is one model, in one version; which weights it has, answers say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from starlette.datastructures import State

from model_store import c3d
from service.answers.growing import GrowingAnswer
from service.answers.json_answer import MIN_NUMBER_BYTES, json_response
from service.answers.result import codes_of, in_ms, provenance_headers, warning_out
from service.api.openapi import responses
from service.api.probes import NOT_READY
from service.api.videos import Lifetime
from service.errors import AnswerTooLarge, At, BodyTooLarge
from service.http.disconnect import Deadline, unless_left
from service.http.endpoints import V2, V2_LIVE, V2_MODEL, V2_READY, V2_VERSION
from service.http.metrics import Tally, Totals
from service.http.request_log import RequestRecord
from service.intake.source import check_not_compressed, request_files
from service.lifecycle.readiness import Readiness, Serving
from service.pipeline import Pipeline, Summary
from service.settings import VERSION, Settings
from service.v2 import schemas
from service.v2.body import CLIP_BYTES, MAX_JSON_BYTES, Inference, binary_pieces, json_length, json_pieces, read, row_in_json
from service.v2.schemas import BINARY, INPUT, JSON_LENGTH

router = APIRouter(tags=["Open Inference Protocol"])
model = APIRouter()

NAME, MODEL_VERSION = "c3d", "1"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "statistics"]
INLINE_BYTES = 64 * 1024  # of JSON, which takes some tenths of a millisecond; more is read by the one thread that does this
READER = ThreadPoolExecutor(1, "json")
MIN_CLIPS_SEEN = 4  # before the size of the JSON is estimated from them
ESTIMATE_ERROR = 1.25  # an answer whose estimate is nearer to the limit is computed, and measured
TOO_LATE = "Send fewer clips in a request, or give it a larger timeout."


@router.get(V2_LIVE, summary="Is the process alive?", response_model=schemas.LiveOut, responses=responses(At.LIVE))
async def live(request: Request) -> Response:
    """200 as long as a restart would not help."""
    _readiness(request).check_alive()
    return json_response(schemas.LiveOut(live=True))


@router.get(V2_READY, summary="Can it answer now?", response_model=schemas.ReadyOut, responses=NOT_READY)
async def ready(request: Request) -> Response:
    """200 when the network is warm and its known answer was right, else 503 with the reason."""
    _readiness(request).check_ready()
    return json_response(schemas.ReadyOut(ready=True))


@router.get(V2, summary="What the server is", response_model=schemas.ServerMetadata)
async def server_metadata(request: Request) -> Response:
    """Name, version, and the extensions of the protocol."""
    about: schemas.ServerMetadata = {"name": "c3d-service", "version": VERSION, "extensions": EXTENSIONS}
    return json_response(about)


@model.get("", summary="What the model takes and gives", response_model=schemas.ModelMetadata, responses=NOT_READY)
async def model_metadata(request: Request) -> Response:
    """Names, datatypes and shapes of its tensors."""
    serving = _readiness(request).serving()
    about: schemas.ModelMetadata = {
        "name": NAME,
        "versions": [MODEL_VERSION],
        "platform": serving.model["backend"],
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *c3d.CLIP_SHAPE]}],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, size]} for name, size in _outputs(serving).items()],
    }
    return json_response(about)


@model.get("/config", summary="The model's configuration", response_model=schemas.ModelConfig, responses=NOT_READY)
async def model_config(request: Request) -> Response:
    """As Triton's tools ask for it; perf_analyzer begins with it."""
    serving = _readiness(request).serving()
    about: schemas.ModelConfig = {
        "name": NAME,
        "platform": serving.model["backend"],
        "backend": serving.model["backend"].partition(" ")[0],
        "max_batch_size": max(1, request.app.state.settings.max_upload_bytes // CLIP_BYTES),
        "input": [{"name": INPUT, "data_type": "TYPE_UINT8", "dims": [*c3d.CLIP_SHAPE]}],
        "output": [{"name": name, "data_type": "TYPE_FP32", "dims": [size]} for name, size in _outputs(serving).items()],
    }
    return json_response(about)


@model.get("/stats", summary="What the model has done", response_model=schemas.Statistics)
async def model_stats(request: Request) -> Response:
    """Counts and times since the start, as Triton's statistics extension has them.

    There is no cache: its counts stay 0. Input is the decoding of videos; clips under /v2 need none, and outputs take no time of
    their own. Their counts are those of the network all the same: perf_analyzer ends where the three differ.
    """
    totals: Totals = request.app.state.metrics.totals
    none = _duration(Tally())
    in_model, decoding = totals.stages["model"], totals.stages["decode"]
    batches = dict(sorted(totals.batches.items()))
    stats: schemas.ModelStatistics = {
        "name": NAME,
        "version": MODEL_VERSION,
        "last_inference": int(totals.last_batch * 1000),
        "inference_count": sum(size * each.count for size, each in batches.items()),
        "execution_count": sum(each.count for each in batches.values()),
        "inference_stats": {
            "success": _duration(totals.ok),
            "fail": _duration(totals.failed),
            "queue": _duration(totals.stages["queue"]),
            "compute_input": {**_duration(decoding), "count": in_model.count},
            "compute_infer": _duration(in_model),
            "compute_output": {**none, "count": in_model.count},
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": {**none, "count": each.count},
                "compute_infer": _duration(each),
                "compute_output": {**none, "count": each.count},
            }
            for size, each in batches.items()
        ],
    }
    return json_response(schemas.Statistics(model_stats=[stats]))


def _duration(tally: Tally) -> schemas.Duration:
    return {"count": tally.count, "ns": int(tally.seconds * 1e9)}


@model.get("/ready", summary="Can the model answer now?", response_model=schemas.ModelReadyOut, responses=NOT_READY)
async def model_ready(request: Request) -> Response:
    """The same as /v2/health/ready: there is one model."""
    _readiness(request).check_ready()
    return json_response(schemas.ModelReadyOut(name=NAME, ready=True))


@model.post(
    "/infer",
    summary="The network's outputs for clips",
    response_model=schemas.InferAnswer,
    responses={
        200: {
            "content": {"application/octet-stream": {"schema": BINARY}},
            "description": "JSON, or JSON with binary data after it.",
        },
        **responses(At.TENSORS),
    },
    openapi_extra=schemas.infer_body(),
)
async def infer(request: Request, lifetime: Lifetime) -> Response:
    """pool5, fc6, fc7 and probabilities of each clip, not pooled and not normalised, in JSON or as binary data.

    A clip is 16 frames in BGR, as OpenCV gives them, whatever the network was trained on; resized and cropped to 112x112 as GET
    /info says of the model: `frame_rows`, `frame_columns`, `keep_aspect`, `crop_top`, `crop_left`. No mean is subtracted yet.
    The version may be named: /v2/models/c3d/versions/1/infer.
    """
    started = time.perf_counter()
    settings: Settings = request.app.state.settings
    record: RequestRecord = request.state.record
    serving = _readiness(request).serving()
    async with AsyncExitStack() as working, _body(request, settings.max_upload_bytes) as body:
        working.enter_context(request.app.state.admission.place())
        fetch_s = time.perf_counter() - started
        record.source_kind, record.size_bytes = "tensors", len(body)
        inference = await _inference(request, body, _outputs(serving))
        record.num_clips = len(inference.clips)
        _check_size(MIN_NUMBER_BYTES * inference.num_json_numbers(_outputs(serving)), request.app.state.max_json_bytes)
        timeout_s = min(settings.request_timeout_s, inference.timeout_s or settings.request_timeout_s)
        deadline = Deadline(timeout_s, TOO_LATE)
        running = _run(serving.pipeline, inference, request.app.state.max_json_bytes)
        outputs, summary = await unless_left(request, deadline.hold(running))
    seconds = {"fetch": fetch_s, "queue": summary.queue_s, "model": summary.model_s, "total": time.perf_counter() - started}
    record.stages_ms = {stage: in_ms(each) for stage, each in seconds.items()}
    about: schemas.InferHead = {"model_name": NAME, "model_version": MODEL_VERSION, "parameters": serving.model}
    if inference.id is not None:
        about["id"] = inference.id
    warnings = [warning_out(each) for each in serving.warnings()]
    record.warnings = codes_of(warnings)
    headers = provenance_headers(serving.model, warnings)
    return await _written(request.app.state, lifetime, about, outputs, inference.outputs, headers)


async def _written(
    state: State,
    lifetime: AsyncExitStack,
    about: schemas.InferHead,
    outputs: Mapping[str, NDArray[np.float32]],
    as_binary: Mapping[str, bool],
    headers: dict[str, str],
) -> Response:
    """The answer. A large one lies in a file that lives as long as ``lifetime``. Raises AnswerTooLarge, DiskFull."""
    answer = GrowingAnswer(lambda: lifetime.enter_context(request_files(state.spool)))
    for piece in json_pieces(about, outputs, as_binary):
        await answer.add(piece)
        _check_size(answer.num_bytes, state.max_json_bytes)
    if not any(as_binary.values()):
        return await answer.response("application/json", headers)
    headers[JSON_LENGTH] = str(answer.num_bytes)
    for piece in binary_pieces(outputs, as_binary):
        await answer.add(piece)
    return await answer.response("application/octet-stream", headers)


@asynccontextmanager
async def _body(request: Request, max_bytes: int) -> AsyncIterator[NDArray[np.uint8]]:
    """All of it in one buffer, uint8 (size,), that takes memory only as far as it is written to.

    It counts as one of the spool's files, which are in memory as well where that is a tmpfs.
    """
    check_not_compressed(request)
    if json_length(request.headers.get(JSON_LENGTH)) is None:
        max_bytes = min(max_bytes, MAX_JSON_BYTES)
    too_large = BodyTooLarge(f"The body is over {max_bytes} bytes. Send clips as binary data, in several requests.")
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() else max_bytes
    if announced > max_bytes:
        raise too_large
    body, size = np.empty(announced, np.uint8), 0
    with request.app.state.spool.share() as reserve:
        async for chunk in request.stream():
            if size + len(chunk) > len(body):
                raise too_large
            reserve(len(chunk))
            body[size : size + len(chunk)] = np.frombuffer(chunk, np.uint8)
            size += len(chunk)
        yield body[:size]


def _check_size(num_json_bytes: float, limit: float) -> None:
    if num_json_bytes > limit:
        raise AnswerTooLarge("The answer is too large for JSON. Ask for the outputs as binary data.")


async def _inference(request: Request, body: NDArray[np.uint8], available: Collection[str]) -> Inference:
    length = json_length(request.headers.get(JSON_LENGTH))
    if (len(body) if length is None else length) <= INLINE_BYTES:
        return read(body, length, available)

    async def in_thread() -> Inference:
        return await asyncio.get_running_loop().run_in_executor(READER, read, body, length, available)

    deadline = Deadline(request.app.state.settings.request_timeout_s, TOO_LATE)
    return await unless_left(request, deadline.hold(in_thread()))


async def _run(pipeline: Pipeline, inference: Inference, max_json_bytes: int) -> tuple[dict[str, NDArray[np.float32]], Summary]:
    """The outputs that are wanted, float32 (n, ...) each.

    Raises AnswerTooLarge as soon as the first clips show that their JSON will be: what comes of a clip varies little in length.
    """
    summary, rows, num_bytes = Summary(), [], 0
    in_json = [name for name, as_binary in inference.outputs.items() if not as_binary]
    async with aclosing(pipeline.run_clips(inference.clips, summary)) as steps:
        async for outputs in steps:
            rows.append(outputs)
            num_bytes += sum(len(row_in_json(getattr(outputs, name))) for name in in_json)
            if len(rows) >= MIN_CLIPS_SEEN:
                _check_size(num_bytes * len(inference.clips) // len(rows), ESTIMATE_ERROR * max_json_bytes)
    return {name: np.stack([getattr(each, name) for each in rows]) for name in inference.outputs}, summary


def _outputs(serving: Serving) -> dict[str, int]:
    """The outputs there are, and how many numbers each has for a clip."""
    sizes = (*c3d.FEATURE_SIZES.items(), ("probabilities", len(serving.labels)))
    return {name: size for name, size in sizes if size}


def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness


router.include_router(model, prefix=V2_MODEL)
router.include_router(model, prefix=V2_VERSION, include_in_schema=False)
