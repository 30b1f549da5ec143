"""One result, as the client gets it. JSON is written by orjson: float32 in the shortest digits that read back exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from service.c3d import ClipOutputs
from service.errors import ServiceError
from service.frames import DECODER, VideoInfo
from service.pipeline import ClipDone, Summary
from service.pooling import Float32, MeanPool, l2_normalize, top_predictions
from service.readiness import Serving
from service.schemas import ClassifyOptions, FeaturesOptions
from service.source import Source


class Result(ABC):
    """What is kept of a video while its clips come: their mean, and each clip only where the client asked for it."""

    def __init__(self, *, keep_clips: bool) -> None:
        self._pool = MeanPool()
        self._clips: list[dict[str, Any]] | None = [] if keep_clips else None

    def add(self, done: ClipDone) -> None:
        """Take one clip."""
        row = self._row(done.outputs)
        self._pool.add(row)
        if self._clips is not None:
            self._clips.append(asdict(done.span) | self._clip(row))

    def body(self) -> dict[str, Any]:
        """The answer's own fields, after the last clip."""
        pooled = self._pooled(self._pool.mean())
        return pooled if self._clips is None else pooled | {"clips": self._clips}

    @abstractmethod
    def _row(self, outputs: ClipOutputs) -> Float32: ...

    @abstractmethod
    def _clip(self, row: Float32) -> dict[str, Any]: ...

    @abstractmethod
    def _pooled(self, mean: Float32) -> dict[str, Any]: ...


class Labels(Result):
    """The result of /classify."""

    def __init__(self, options: ClassifyOptions, labels: tuple[str, ...]) -> None:
        super().__init__(keep_clips="clips" in options.include)
        self._top_k, self._labels = options.top_k, labels

    def _row(self, outputs: ClipOutputs) -> Float32:
        return outputs.probabilities

    def _clip(self, row: Float32) -> dict[str, Any]:
        top = top_predictions(row, self._top_k)
        return {"predictions": [{"label": self._labels[i], "score": np.float32(score), "class_id": i} for i, score in top]}

    def _pooled(self, mean: Float32) -> dict[str, Any]:
        return self._clip(mean)


class Descriptor(Result):
    """The result of /features."""

    def __init__(self, options: FeaturesOptions) -> None:
        super().__init__(keep_clips="clips" in options.include)
        self._layer, self._normalize = options.layer, options.normalize

    def _row(self, outputs: ClipOutputs) -> Float32:
        return outputs.fc6 if self._layer == "fc6" else outputs.fc7

    def _clip(self, row: Float32) -> dict[str, Any]:
        return {"descriptor": row}

    def _pooled(self, mean: Float32) -> dict[str, Any]:
        return {"descriptor": l2_normalize(mean) if self._normalize == "l2" else mean}


def about(serving: Serving, source: Source, info: VideoInfo, summary: Summary) -> dict[str, Any]:
    """The blocks ``model``, ``video`` and ``warnings``."""
    video = asdict(info)
    header = video.pop("num_frames_header")
    video |= {"sha256": source.sha256, "size_bytes": source.size_bytes, "decoder": DECODER}
    video |= {"variable_frame_rate": summary.variable_frame_rate, "duration_sec": summary.end_sec}
    video["num_frames"] = {"header": header, "decoded": summary.num_frames_decoded, "used": summary.num_frames_used}
    notices = [*serving.notices(), *summary.notices]
    return {"model": serving.model, "video": video, "warnings": [notice._asdict() for notice in notices]}


def timings(fetch_s: float, summary: Summary, total_s: float) -> dict[str, float]:
    """The block ``timings_ms``."""
    seconds = {
        "fetch": fetch_s,
        "decode": summary.decode_s,
        "queue": summary.queue_s,
        "model": summary.model_s,
        "total": total_s,
    }
    return {name: round(value * 1000, 1) for name, value in seconds.items()}


def json_response(content: Any, status: int = 200) -> Response:
    """JSON; arrays and NumPy numbers included."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, media_type="application/json")


def problem(error: ServiceError, request_id: str) -> Response:
    """RFC 9457 problem details. ``type`` is about:blank (section 4.2.1): code and title say what it would."""
    content = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": str(error),
        "request_id": request_id,
    }
    body = orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, error.status, dict(error.headers), media_type="application/problem+json")
