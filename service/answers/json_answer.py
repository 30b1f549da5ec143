"""The answer as the client gets it, in JSON. orjson writes float32 in the shortest digits that read back exactly."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from model_store import c3d
from service.answers.result import Result
from service.errors import AnswerTooLarge
from service.http.request_log import RequestRecord
from service.intake.source import Source
from service.lifecycle.readiness import Serving
from service.pipeline import ClipDone, Opened, Summary
from service.video.messages import VideoInfo, VideoWarning

DECODER = {"name": "PyAV", "version": version("av")}  # asked of the package: the library itself is loaded in decoders alone
HEADER = ("container", "codec", "width", "height", "rotation", "fps", "color_matrix", "duration_sec")  # what a file says
MAX_JSON_BYTES = 32 * 1024 * 1024  # of one answer: about 700 clips with their vectors; more is better streamed
MIN_NUMBER_BYTES = 4  # "0.0,"


@dataclass
class Job:
    """One request from its video's arrival to its answer: what the answer rests on, in the answer's words."""

    serving: Serving
    source: Source
    result: Result
    record: RequestRecord
    started: float  # time.perf_counter, when the request's head was there
    fetch_s: float

    def beginning(self, opened: Opened) -> dict[str, Any]:
        """What is known as soon as the video could be opened."""
        video = self._video(opened.info) | {"num_frames": {"header": opened.info.num_frames_header}}
        warnings = _listed([*self.serving.warnings(), *opened.info.warnings()])
        found = {"model": self.serving.model, "video": video, "warnings": warnings}
        return {**self.result.ids(), "num_clips": opened.num_clips, **found}

    def ending(self, opened: Opened, summary: Summary) -> dict[str, Any]:
        """The blocks ``model``, ``video``, ``warnings`` and ``timings_ms``; the log gets its part of them."""
        info, end = opened.info, summary.end
        assert end is not None  # noqa: S101 (the summary of a video that has passed)
        counts = {"header": info.num_frames_header, "decoded": end.num_frames, "used": summary.num_frames_used}
        duration = {"duration_sec": end.end_sec} if end.whole else {}
        video = self._video(info) | {"variable_frame_rate": end.variable_frame_rate, **duration}
        self.record.stages_ms = self._timings(summary)
        self.record.num_frames, self.record.num_clips = end.num_frames, self.result.num_clips
        return {
            "model": self.serving.model,
            "video": video | {"num_frames": counts, "decoder": DECODER},
            "warnings": _listed([*self.serving.warnings(), *summary.warnings]),
            "timings_ms": self.record.stages_ms,
        }

    def _video(self, info: VideoInfo) -> dict[str, Any]:
        self.record.container, self.record.codec = info.container, info.codec
        said = {name: getattr(info, name) for name in HEADER}
        return said | {"sha256": self.source.sha256, "size_bytes": self.source.size_bytes}

    def _timings(self, summary: Summary) -> dict[str, float]:
        busy = {"decode": summary.decode_s, "queue": summary.queue_s, "model": summary.model_s}
        seconds = {"fetch": self.fetch_s, **busy, "total": time.perf_counter() - self.started}
        return in_ms(seconds)


class JsonAnswer:
    """The whole answer in one piece. Clips are written as they come: numbers in memory as text, and no more than the limit."""

    def __init__(self, job: Job, max_bytes: int) -> None:
        self._result, self._max_bytes = job.result, max_bytes
        self._clips: list[orjson.Fragment] = []
        self._num_bytes = 0

    def begin(self, opened: Opened) -> None:
        """Raises AnswerTooLarge where the answer is sure to be, before anything is computed."""
        options = self._result.options
        if options.wants("clips") and options.wants("features"):
            number = MIN_NUMBER_BYTES if options.encoding_format == "float" else np.float32().nbytes
            self._check(opened.num_clips * c3d.DESCRIPTOR_SIZE * number)

    async def add(self, done: ClipDone) -> None:
        """Take one clip. Raises AnswerTooLarge."""
        if self._result.options.wants("clips"):
            entry = to_json(self._result.clip(done))
            self._num_bytes += len(entry)
            self._check(self._num_bytes)
            self._clips.append(orjson.Fragment(entry))

    async def response(self, found: Mapping[str, Any]) -> Response:
        """The answer, given its other fields."""
        clips = {"clips": self._clips} if self._result.options.wants("clips") else {}
        return json_response({**self._result.body(), **clips, **found})

    def _check(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise AnswerTooLarge(
                f"As JSON the answer would be over {self._max_bytes} bytes. Ask for a stream (Accept: application/x-ndjson) or "
                "for arrays (Accept: application/zip), or for fewer clips (max_clips)."
            )


def _listed(warnings: Iterable[VideoWarning]) -> list[dict[str, str]]:
    return [notice._asdict() for notice in warnings]


def in_ms(seconds: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds as answers and the log have them."""
    return {name: round(value * 1000, 1) for name, value in seconds.items()}


def to_json(content: Any) -> bytes:
    """Arrays and NumPy numbers included."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(content: Any, status: int = 200) -> Response:
    """The same as an answer."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, media_type="application/json")
