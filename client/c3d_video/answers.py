"""An answer as values and NumPy arrays, put together from the lines of a stream."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """A label, its probability 0 to 1, and its place in the list of labels."""

    label: str
    score: float
    class_id: int


@dataclass(frozen=True)
class Segment:
    """Neighbouring clips of one label: half-open in seconds; ``score``: the mean of the clips' probabilities."""

    label: str
    class_id: int
    start_sec: float
    end_sec: float
    score: float


@dataclass(frozen=True)
class Warned:
    """Something odd about a video that was answered all the same."""

    code: str
    message: str


@dataclass(frozen=True)
class Opened:
    """The video could be opened. ``num_clips``: how many will come, if the file's own figures are true."""

    id: str
    num_clips: int
    model: dict[str, Any]
    video: dict[str, Any]
    warnings: tuple[Warned, ...]


@dataclass(frozen=True)
class Clip:
    """16 frames of the video: half-open in frames and seconds.

    ``descriptor``: float32, (4096,) of fc6 and fc7, (8192,) of pool5, never normalised; None where only predictions were asked
    for. ``descriptors``: with several layers, each one's vector by its name; ``descriptor`` is None then. ``progress``: 0 to 1,
    of the whole video.
    """

    index: int
    id: str
    start_frame: int
    end_frame: int
    start_sec: float
    end_sec: float
    num_padded_frames: int = 0
    num_damaged_frames: int = 0
    progress: float = 0.0
    descriptor: Float32 | None = field(default=None, repr=False)
    descriptors: dict[str, Float32] = field(default_factory=dict, repr=False)
    predictions: tuple[Prediction, ...] = ()


@dataclass
class Answer:
    """All that the service says of a video.

    ``descriptor``: float32 (4096,) of the video, or None. ``clips``: float32 (n, 4096), a row a clip, or None where vectors were
    not asked for. With several layers both are None, and ``descriptors`` and ``clips_by_layer`` hold them by the layer's name.
    ``start_sec``, ``end_sec``: float64 (n,). ``clip_predictions``: a tuple of predictions for each clip. ``model``, ``video``:
    what the answer rests on.
    """

    id: str
    model: dict[str, Any]
    video: dict[str, Any]
    warnings: tuple[Warned, ...]
    timings_ms: dict[str, float]
    descriptor: Float32 | None
    predictions: tuple[Prediction, ...]
    segments: tuple[Segment, ...]
    descriptors: dict[str, Float32] = field(default_factory=dict)
    clips: Float32 | None = field(default=None, repr=False)
    clips_by_layer: dict[str, Float32] = field(default_factory=dict, repr=False)
    start_sec: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    end_sec: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    start_frame: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    clip_ids: tuple[str, ...] = field(default=(), repr=False)
    clip_predictions: tuple[tuple[Prediction, ...], ...] = field(default=(), repr=False)

    def put_clips(self, clips: list[Clip]) -> None:
        """Add what each clip brought."""
        vectors = [clip.descriptor for clip in clips if clip.descriptor is not None]
        self.clips = np.stack(vectors) if vectors else None
        layers = clips[0].descriptors if clips else ()
        self.clips_by_layer = {layer: np.stack([clip.descriptors[layer] for clip in clips]) for layer in layers}
        self.start_sec = np.array([clip.start_sec for clip in clips], np.float64)
        self.end_sec = np.array([clip.end_sec for clip in clips], np.float64)
        self.start_frame = np.array([clip.start_frame for clip in clips], np.int64)
        self.clip_ids = tuple(clip.id for clip in clips)
        self.clip_predictions = tuple(clip.predictions for clip in clips)


Event = Opened | Clip | Answer


def event_of(line: dict[str, Any]) -> Event | None:
    """What a line of a stream says; None for a heartbeat, and for a kind of line that came later than this client."""
    if line["type"] == "video":
        return Opened(str(line["id"]), int(line["num_clips"]), line["model"], line["video"], _warned(line))
    if line["type"] == "clip":
        return _clip(line)
    return _answer(line) if line["type"] == "summary" else None


def _vectors(value: Any) -> tuple[Float32 | None, dict[str, Float32]]:
    """One layer's vector, or those of several by name, as the service writes them."""
    if isinstance(value, dict):
        return None, {str(layer): _vector(each) for layer, each in value.items()}
    return (None if value is None else _vector(value)), {}


def _vector(value: Any) -> Float32:
    """Base64 of little-endian float32, or numbers."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value), "<f4").astype(np.float32)
    return np.asarray(value, np.float32)


def _clip(line: dict[str, Any]) -> Clip:
    return Clip(
        int(line["index"]),
        str(line["id"]),
        int(line["start_frame"]),
        int(line["end_frame"]),
        float(line["start_sec"]),
        float(line["end_sec"]),
        int(line.get("num_padded_frames", 0)),
        int(line.get("num_damaged_frames", 0)),
        float(line.get("progress", 0)),
        *_vectors(line.get("descriptor")),
        _predictions(line),
    )


def _answer(line: dict[str, Any]) -> Answer:
    found = ("label", "class_id", "start_sec", "end_sec", "score")
    segments = tuple(Segment(**{name: each[name] for name in found}) for each in line.get("segments", ()))
    descriptor, descriptors = _vectors(line.get("descriptor"))
    return Answer(
        str(line["id"]),
        line["model"],
        line["video"],
        _warned(line),
        line.get("timings_ms", {}),
        descriptor,
        _predictions(line),
        segments,
        descriptors,
    )


def _predictions(line: dict[str, Any]) -> tuple[Prediction, ...]:
    return tuple(Prediction(each["label"], each["score"], each["class_id"]) for each in line.get("predictions") or ())


def _warned(line: dict[str, Any]) -> tuple[Warned, ...]:
    return tuple(Warned(each["code"], each["message"]) for each in line.get("warnings", ()))
