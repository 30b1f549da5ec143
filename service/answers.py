"""One result, as the client gets it. JSON is written by orjson: float32 in the shortest digits that read back exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from service.c3d import ClipOutputs
from service.options import ClassifyOptions, FeaturesOptions
from service.pipeline import ClipDone, Summary
from service.pooling import Float32, MeanPool, l2_normalize, top_predictions
from service.readiness import Serving
from service.source import Source
from service.video import VideoInfo

DECODER = {"name": "PyAV", "version": version("av")}  # asked of the package: the library itself is loaded in decoders alone


class Result(ABC):
    """What is kept of a video while its clips come: their mean, and each clip only where the client asked for it."""

    def __init__(self, *, keep_clips: bool) -> None:
        self._pool = MeanPool()
        self._clips: list[dict[str, Any]] | None = [] if keep_clips else None

    @property
    def num_clips(self) -> int:
        """How many were added."""
        return self._pool.count

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
    end = summary.end
    assert end is not None  # noqa: S101 (the summary of a video that has passed)
    keys = ("container", "codec", "width", "height", "rotation", "fps", "color_matrix")
    video = {key: getattr(info, key) for key in keys} | {"sha256": source.sha256, "size_bytes": source.size_bytes}
    video |= {"variable_frame_rate": end.variable_frame_rate, "duration_sec": end.end_sec if end.whole else info.duration_sec}
    counts = {"header": info.num_frames_header, "decoded": end.num_frames, "used": summary.num_frames_used}
    notices = [*serving.notices(), *summary.notices]
    return {
        "model": serving.model,
        "video": video | {"num_frames": counts, "decoder": DECODER},
        "warnings": [notice._asdict() for notice in notices],
    }


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
