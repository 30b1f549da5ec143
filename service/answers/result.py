"""What is known of a video once its clips have come, whatever the form in which the client gets it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np

from model_store.card import PICTURE
from service.answers.pooling import Float32, MeanPool, Segments, l2_normalize, top_predictions
from service.intake.source import Source
from service.options import Options
from service.pipeline import ClipDone
from service.video.clips import ClipSpan

# What the numbers depend on: whoever asks for the same gets the same id, and may store the answer in place of the old one.
ID_OF_MODEL = ("weights_sha256", *PICTURE, "precision", "calibration_sha256")  # the last only where it has one
ID_OF_OPTIONS = ("clip_stride", "tail", "start_sec", "end_sec", "max_clips", "layer", "normalize")
ID_NAMESPACE = uuid5(NAMESPACE_URL, "urn:c3d-video-inference")


class Result:
    """What is known of a video while its clips come: their means, and their segments. Constant in memory but for those."""

    def __init__(self, options: Options, labels: tuple[str, ...], video_id: UUID) -> None:
        self.options, self.labels, self.video_id = options, labels, video_id
        self._features, self._probabilities = MeanPool(), MeanPool()
        self._segments = Segments(options.score_threshold)

    @property
    def num_clips(self) -> int:
        """How many were added."""
        return max(self._features.count, self._probabilities.count)

    def add(self, done: ClipDone) -> None:
        """Take one clip."""
        if self.options.wants("features"):
            self._features.add(self.features_of(done))
        if self.options.wants("predictions"):
            self._probabilities.add(done.outputs.probabilities)
        if self.options.wants("segments"):
            self._segments.add(done.outputs.probabilities, done.span.start_sec, done.span.end_sec)

    def clip(self, done: ClipDone) -> dict[str, Any]:
        """A clip's own entry."""
        entry = {"id": str(self.clip_id(done.span)), **asdict(done.span)}
        if self.options.wants("predictions"):
            entry["predictions"] = self._predictions(done.outputs.probabilities)
        if self.options.wants("features"):
            entry["descriptor"] = self._vector(self.features_of(done))
        return entry

    def body(self) -> dict[str, Any]:
        """The answer's own fields, after the last clip."""
        found: dict[str, Any] = self.ids()
        if self.options.wants("predictions"):
            found["predictions"] = self._predictions(self.probabilities())
        if self.options.wants("features"):
            found["descriptor"] = self._vector(self.descriptor())
        if self.options.wants("segments"):
            found["segments"] = self.segments()
        return found

    def ids(self) -> dict[str, str]:
        """The video's, and the client's own where it gave one."""
        own = {} if self.options.custom_id is None else {"custom_id": self.options.custom_id}
        return {"id": str(self.video_id), **own}

    def clip_id(self, span: ClipSpan) -> UUID:
        """Under which a clip can be stored."""
        return uuid5(self.video_id, str(span.start_frame))

    def features_of(self, done: ClipDone) -> Float32:
        """A clip's output of the layer asked for, float32 (4096,)."""
        return done.outputs.fc6 if self.options.layer == "fc6" else done.outputs.fc7

    def descriptor(self) -> Float32:
        """The video's, float32 (4096,)."""
        mean = self._features.mean()
        return l2_normalize(mean) if self.options.normalize == "l2" else mean

    def probabilities(self) -> Float32:
        """The video's, by class, float32 (n,)."""
        return self._probabilities.mean()

    def segments(self) -> list[dict[str, Any]]:
        """Neighbouring clips of one label, merged."""
        return [
            {"label": self.labels[each.class_id], "class_id": each.class_id}
            | {"start_sec": each.start_sec, "end_sec": each.end_sec, "num_clips": len(each.scores)}
            | {"score": np.float32(np.mean(each.scores)), "peak_score": np.float32(max(each.scores))}
            for each in self._segments.found
        ]

    def _predictions(self, probabilities: Float32) -> list[dict[str, Any]]:
        top = top_predictions(probabilities, self.options.top_k)
        return [
            {"label": self.labels[i], "score": np.float32(score), "class_id": i}
            for i, score in top
            if score >= self.options.score_threshold
        ]

    def _vector(self, row: Float32) -> Float32 | str:
        return row if self.options.encoding_format == "float" else base64.b64encode(row.astype("<f4").tobytes()).decode()


def video_id(source: Source, model: Mapping[str, Any], options: Options) -> UUID:
    """The same for the same bytes, model and options, wherever and whenever it is computed."""
    of_model = [model[name] for name in ID_OF_MODEL if name in model]
    of_options = [getattr(options, name) for name in ID_OF_OPTIONS]
    return uuid5(ID_NAMESPACE, json.dumps([source.sha256, of_model, of_options]))
