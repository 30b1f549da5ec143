"""The calibration of a model for int8: NNCF quantises the float32 graph by what it does on clips; other clips show the drift."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["CI"] = "true"  # else NNCF reports its use to its makers, unasked

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from model_store import c3d, calibration
from model_store.download.hashes import of_file
from model_store.store import Model
from model_store.tensors import StoreError
from service.errors import ServiceError
from service.inference.openvino_network import OpenvinoNetwork, graph
from service.video.inline import clips_of
from service.video.messages import ReadOptions

Clip = NDArray[np.uint8]

MIN_CLIPS = 16  # half for calibrating, half for the drift: fewer say nothing
MAX_CLIPS = 600  # NNCF looks at 300 by default; 0.6 MB of memory each
MAX_CLIPS_PER_VIDEO = 64  # so that a film does not outweigh all the rest


def calibrate(model: Model, videos: Sequence[Path], max_drift: float, say: Callable[[str], None]) -> calibration.Calibration:
    """Quantise the model's network on the videos' clips and put it into the store, beside the weights.

    Every other clip is kept back, to measure the drift on. To be called behind `store.hold`.
    Raises StoreError where there are too few clips or the drift is over ``max_drift``; then the store is as it was.
    """
    used: list[Path] = []
    clips = evenly((clip for video in videos for clip in _clips_of(video, model, used, say)), MAX_CLIPS)
    if len(clips) < MIN_CLIPS:
        raise StoreError(
            f"Too few clips of 16 frames to calibrate on: {len(clips)} of at least {MIN_CLIPS}. Give more or longer videos."
        )
    seen, kept_back = clips[::2], clips[1::2]
    say(f"Calibrating on {len(seen)} clips, and comparing on {len(kept_back)} others ...")
    quantised = quantise(model, seen)
    ours, theirs = OpenvinoNetwork(model, "int8", given=quantised), OpenvinoNetwork(model)
    drift = calibration.drift(_outputs(ours, kept_back), _outputs(theirs, kept_back))
    calibration.check_drift(drift, max_drift)
    answers = ours.known_answer(), theirs.known_answer()
    if answers[0] and answers[1] and answers[0][0] != answers[1][0]:
        raise StoreError(
            f"In int8 zeros give class {answers[0][0]}, in float32 {answers[1][0]}: the service would not start with it."
        )

    def describe(identity: str) -> calibration.Calibration:
        return calibration.Calibration(
            sha256=identity,
            model=calibration.numbers_of(model.card),
            videos_sha256=tuple(of_file(video, "sha256") for video in used),
            num_clips=len(seen),
            drift=drift,
            max_drift=max_drift,
            made_by=f"nncf {nncf.__version__}, openvino {ov.__version__.partition('-')[0]}",
            created=dt.datetime.now(dt.UTC).date().isoformat(),
        )

    return calibration.write(model, lambda path: ov.save_model(quantised, path, compress_to_fp16=False), describe)


def quantise(model: Model, clips: Sequence[Clip]) -> Any:
    """The model's graph with int8 convolutions and dense layers, their ranges taken from the clips."""
    mean = model.cropped_mean()
    dataset = nncf.Dataset(clips, lambda clip: {"clips": clip[np.newaxis], "mean": mean})
    return nncf.quantize(graph(model), dataset, subset_size=len(clips))


def evenly(clips: Iterable[Clip], at_most: int) -> list[Clip]:
    """At most so many of the clips, evenly spaced, without ever holding more."""
    kept: list[Clip] = []
    step = 1
    for index, clip in enumerate(clips):
        if index % step == 0:
            kept.append(clip.copy())  # a clip can be a view of many frames
        if len(kept) > at_most:
            kept, step = kept[::2], 2 * step
    return kept


def _clips_of(video: Path, model: Model, used: list[Path], say: Callable[[str], None]) -> list[Clip]:
    """Some clips of the video, evenly spaced, no frame in two of them; none, and a word, where it cannot be read."""
    try:
        options = replace(ReadOptions.of(model.card), clip_stride=c3d.CLIP_LENGTH)
        clips = evenly(clips_of(video, options), MAX_CLIPS_PER_VIDEO)
    except (ServiceError, OSError) as error:
        say(f"{video} is left out: {error}")
        return []
    used.append(video)
    return clips


def _outputs(network: OpenvinoNetwork, clips: Sequence[Clip]) -> c3d.ClipOutputs:
    return c3d.ClipOutputs(*map(np.concatenate, zip(*(network.run(clip[np.newaxis]) for clip in clips), strict=True)))
