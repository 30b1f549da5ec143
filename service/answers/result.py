"""What is known of a video while its clips come and once they have, whatever the form in which the client gets it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np

from model_store import c3d
from service.answers.answer import (
    ClipOut,
    DecoderOut,
    Identified,
    Outputs,
    PredictionOut,
    Provenance,
    SegmentOut,
    TimingsOut,
    Vector,
    Vectors,
    VideoSaid,
    WarningOut,
)
from service.answers.pooling import Float32, MeanPool, Segments, l2_normalize, top_predictions
from service.http.request_log import STAGES, RequestRecord
from service.intake.source import Source
from service.lifecycle.readiness import ModelOut, Serving
from service.options import Options
from service.pipeline import ClipDone, Summary
from service.video.clips import ClipSpan
from service.video.messages import VideoInfo, VideoWarning

# The id covers everything that changes numbers, so that a database can replace what it has. These do not change them; whatever
# else the block `model` and the options hold, now or later, does.
NAMES_OF_MODEL = frozenset({"name", "weights", "mean", "backend", "version"})  # the hashes say what they name
FORM_OF_ANSWER = frozenset({"include", "top_k", "score_threshold", "encoding_format", "vectors", "timeout_s", "custom_id"})
ID_NAMESPACE = uuid5(NAMESPACE_URL, "urn:c3d-video-inference")
WEIGHTS_HEADER, WARNINGS_HEADER = "C3D-Weights", "C3D-Warnings"
DECODER: DecoderOut = {"name": "PyAV", "version": version("av")}  # asked of the package: only decoders load the library


@dataclass
class Result:
    """One request's video: the means over its clips, its segments, and what they rest on. Constant in memory but for segments."""

    serving: Serving
    source: Source
    options: Options
    record: RequestRecord
    started: float  # time.perf_counter, when the request's head was there
    fetch_s: float

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self.video_id = video_id(self.source, self.serving.model, self.options)
        self.labels = self.serving.labels
        self._features = {layer: MeanPool() for layer in self.options.layer}
        self._probabilities = MeanPool()
        self._segments = Segments(self.options.score_threshold)

    @property
    def num_clips(self) -> int:
        """How many were added."""
        return max(pool.count for pool in (*self._features.values(), self._probabilities))

    def add(self, done: ClipDone) -> None:
        """Take one clip."""
        if self.options.wants("features"):
            for layer, row in self.features_of(done).items():
                self._features[layer].add(row)
        if self.options.wants("predictions"):
            self._probabilities.add(done.outputs.probabilities)
        if self.options.wants("segments"):
            self._segments.add(done.outputs.probabilities, done.span.start_sec, done.span.end_sec)

    def clip(self, done: ClipDone) -> ClipOut:
        """A clip's own entry."""
        span = done.span
        entry: ClipOut = {
            "id": str(self.clip_id(span)),
            "index": span.index,
            "start_sec": span.start_sec,
            "end_sec": span.end_sec,
            "start_frame": span.start_frame,
            "end_frame": span.end_frame,
            "num_padded_frames": span.num_padded_frames,
            "num_damaged_frames": span.num_damaged_frames,
        }
        if self.options.wants("predictions"):
            entry["predictions"] = self._predictions(done.outputs.probabilities)
        if self.options.wants_clip_vectors():
            entry["descriptor"] = self._vectors(self.features_of(done))
        if done.thumbnail is not None:
            entry["picture"] = base64.b64encode(done.thumbnail).decode()
        return entry

    def ids(self) -> Identified:
        """The video's, and the client's own where it gave one."""
        ids: Identified = {"id": str(self.video_id)}
        if self.options.custom_id is not None:
            ids["custom_id"] = self.options.custom_id
        return ids

    def outputs(self) -> Outputs:
        """What was computed of the whole video, after the last clip."""
        found: Outputs = {}
        if self.options.wants("predictions"):
            found["predictions"] = self._predictions(self.probabilities())
        if self.options.wants("features"):
            found["descriptor"] = self._vectors(self.descriptors())
        if self.options.wants("segments"):
            found["segments"] = self.segments()
        return found

    def warnings(self, of_video: Iterable[VideoWarning]) -> list[WarningOut]:
        """Those of the model and these of the video."""
        return [warning_out(each) for each in (*self.serving.warnings(), *of_video)]

    def video(self, info: VideoInfo) -> VideoSaid:
        """What the bytes and their header say. The log gets its part of it."""
        self.record.container, self.record.codec = info.container, info.codec
        return {
            "container": info.container,
            "codec": info.codec,
            "width": info.width,
            "height": info.height,
            "rotation": info.rotation,
            "mirrored": info.mirrored,
            "fps": info.fps,
            "resampled_fps": info.resampled_fps,
            "color_matrix": info.color_matrix,
            "transfer": info.transfer,
            "primaries": info.primaries,
            "duration_sec": info.duration_sec,
            "sha256": self.source.sha256,
            "size_bytes": self.source.size_bytes,
        }

    def provenance(self, info: VideoInfo, summary: Summary) -> Provenance:
        """What the numbers rest on, once the video has passed. The log gets its part of it."""
        end = summary.end
        assert end is not None  # noqa: S101 (the summary of a video that has passed)
        said = self.video(info)
        if end.whole:
            said["duration_sec"] = end.end_sec
        self.record.num_frames, self.record.num_clips = end.num_frames, self.num_clips
        warnings = self.warnings(summary.warnings)
        self.record.warnings = codes_of(warnings)
        timings = self._timings_ms(summary)
        self.record.stages_ms = {**{stage: timings[stage] for stage in STAGES}, "total": timings["total"]}
        return {
            "model": self.serving.model,
            "video": {
                **said,
                "variable_frame_rate": end.variable_frame_rate,
                "num_frames": {"header": info.num_frames_header, "decoded": end.num_frames, "used": summary.num_frames_used},
                "decoder": DECODER,
            },
            "warnings": warnings,
            "timings_ms": timings,
        }

    def clip_id(self, span: ClipSpan) -> UUID:
        """Under which a clip can be stored."""
        return uuid5(self.video_id, str(span.start_frame))

    def features_of(self, done: ClipDone) -> dict[c3d.FeatureLayer, Float32]:
        """A clip's output of each layer asked for, float32 (n,) of `c3d.FEATURE_SIZES`."""
        return {layer: getattr(done.outputs, layer) for layer in self.options.layer}

    def descriptors(self) -> dict[c3d.FeatureLayer, Float32]:
        """The video's, by layer, float32 (n,)."""
        means = {layer: pool.mean() for layer, pool in self._features.items()}
        return {layer: l2_normalize(mean) for layer, mean in means.items()} if self.options.normalize == "l2" else means

    def probabilities(self) -> Float32:
        """The video's, by class, float32 (n,)."""
        return self._probabilities.mean()

    def segments(self) -> list[SegmentOut]:
        """Neighbouring clips of one label, merged."""
        return [
            {
                "label": self.labels[each.class_id],
                "class_id": each.class_id,
                "start_sec": each.start_sec,
                "end_sec": each.end_sec,
                "num_clips": len(each.scores),
                "score": np.float32(np.mean(each.scores)),
                "peak_score": np.float32(max(each.scores)),
            }
            for each in self._segments.found
        ]

    def _predictions(self, probabilities: Float32) -> list[PredictionOut]:
        top = top_predictions(probabilities, self.options.top_k)
        return [
            {"label": self.labels[i], "score": np.float32(score), "class_id": i}
            for i, score in top
            if score >= self.options.score_threshold
        ]

    def _vectors(self, rows: Mapping[c3d.FeatureLayer, Float32]) -> Vectors:
        """One layer's as it is, several by name."""
        vectors: dict[str, Vector] = {layer: self._vector(row) for layer, row in rows.items()}
        return vectors if len(vectors) > 1 else next(iter(vectors.values()))

    def _vector(self, row: Float32) -> Vector:
        return row if self.options.encoding_format == "float" else base64.b64encode(row.astype("<f4").tobytes()).decode()

    def _timings_ms(self, summary: Summary) -> TimingsOut:
        return {
            "fetch": in_ms(self.fetch_s),
            "decode": in_ms(summary.decode_s),
            "queue": in_ms(summary.queue_s),
            "model": in_ms(summary.model_s),
            "total": in_ms(time.perf_counter() - self.started),
        }


def warning_out(warning: VideoWarning) -> WarningOut:
    """A warning as answers have it."""
    return {"code": warning.code, "message": warning.message}


def in_ms(seconds: float) -> float:
    """Milliseconds as answers and the log have them."""
    return round(seconds * 1000, 1)


def video_id(source: Source, model: Mapping[str, object], options: Options) -> UUID:
    """The same for the same bytes, model and options, wherever and whenever it is computed."""
    of_model = {name: value for name, value in model.items() if name not in NAMES_OF_MODEL}
    of_options = options.model_dump(exclude=set(FORM_OF_ANSWER))
    if options.fps is None:  # the option came later: without it ids are as they were
        del of_options["fps"]
    return uuid5(ID_NAMESPACE, json.dumps([source.sha256, of_model, of_options], sort_keys=True))


def provenance_headers(model: ModelOut, warnings: Iterable[WarningOut]) -> dict[str, str]:
    """What every form of an answer says in its headers: an array has no other place for it."""
    headers = {WEIGHTS_HEADER: f"{model['weights']}; sha256={model['weights_sha256']}"}
    codes = ", ".join(codes_of(warnings))
    return {**headers, WARNINGS_HEADER: codes} if codes else headers


def codes_of(warnings: Iterable[WarningOut]) -> tuple[str, ...]:
    """The codes, each once."""
    return tuple(dict.fromkeys(each["code"] for each in warnings))
