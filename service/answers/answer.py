"""The answer, defined once: what the code builds, what mypy checks, and what the OpenAPI document says.

These are plain dictionaries at run time, written to JSON as they are. Numbers of the network stay NumPy's float32 until they are
written: `seen_as` tells pydantic what the client sees in their place.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, GetPydanticSchema, with_config
from typing_extensions import TypedDict

from model_store import c3d
from service.http.problems import ErrorLine
from service.lifecycle.readiness import ModelOut


def seen_as(kind: Any) -> GetPydanticSchema:
    """Tell pydantic that a value has this type once it is JSON."""
    return GetPydanticSchema(lambda _, handler: handler(kind))


def always(name: str) -> Any:
    """Say in the schema of a class that this field of a parent, which may lack elsewhere, is always there."""

    def require(schema: dict[str, Any]) -> None:
        schema["required"] = [*schema["required"], name]

    return with_config(ConfigDict(json_schema_extra=require))


VECTOR = "AAAAAClcwj+F61E+"  # the example in the document, 3 numbers as base64: 4096 would fill pages
PICTURE = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMC"  # likewise: how each of them begins
Probability = Annotated[np.float32, seen_as(Annotated[float, Field(ge=0, le=1)])]
Vector = Annotated[
    NDArray[np.float32] | str,
    seen_as(
        Annotated[list[float], Field(min_length=min(c3d.FEATURE_SIZES.values()), max_length=max(c3d.FEATURE_SIZES.values()))]
        | Annotated[str, Field(description="With encoding_format=base64: little-endian float32.")]
    ),
]
Vectors = Vector | Annotated[dict[str, Vector], Field(description="With several layers: each one's vector, by its name.")]
Id = Annotated[str, seen_as(UUID), Field(examples=["6c0d4f5e-3a86-5a0c-9c61-9d6b7f2f3a10"])]


class PredictionOut(TypedDict):
    """A label of the model."""

    label: Annotated[str, Field(description="The class in words.", examples=["sandboarding"])]
    score: Annotated[
        Probability, Field(description="Its probability: the mean of the clips' softmax outputs.", examples=[0.8731])
    ]
    class_id: Annotated[
        int, Field(ge=0, description="The class's index: the line of GET /labels, counted from 0.", examples=[184])
    ]


class SegmentOut(TypedDict):
    """Neighbouring clips whose most probable label is the same."""

    label: Annotated[str, Field(description="Their label.", examples=["sandboarding"])]
    class_id: Annotated[int, Field(ge=0, description="Its class.", examples=[184])]
    start_sec: Annotated[
        float,
        Field(description="Where they begin: in the middle between the first of them and the clip before it.", examples=[0.0]),
    ]
    end_sec: Annotated[
        float,
        Field(description="Where they end: in the middle between the last of them and the clip after it.", examples=[2.24]),
    ]
    score: Annotated[Probability, Field(description="The mean of the label's probabilities.", examples=[0.7214])]
    peak_score: Annotated[Probability, Field(description="The highest of them.", examples=[0.9127])]
    num_clips: Annotated[int, Field(ge=1, description="How many they are.", examples=[6])]


class ClipOut(TypedDict):
    """One clip: where it lies in the video, half-open, in frames and seconds, and what the network computed of it."""

    id: Annotated[Id, Field(description="Of the clip: the same for the same bytes, model, options and place.")]
    index: Annotated[int, Field(ge=0, description="Counted in clips of this answer.", examples=[0])]
    start_sec: Annotated[float, Field(description="When its first frame is shown, in seconds from the first.", examples=[0.0])]
    end_sec: Annotated[
        float,
        Field(description="When the frame after it is shown; at the video's end, when its last frame ends.", examples=[0.64]),
    ]
    start_frame: Annotated[int, Field(ge=0, description="Counted in decoded frames.", examples=[0])]
    end_frame: Annotated[int, Field(ge=1, description="The frame after its last one.", examples=[16])]
    num_padded_frames: Annotated[int, Field(ge=0, le=15, description="How many of the 16 repeat the last frame.", examples=[0])]
    num_damaged_frames: Annotated[int, Field(ge=0, le=16, description="How many did not decode as they should.", examples=[0])]
    predictions: NotRequired[
        Annotated[
            list[PredictionOut],
            Field(description="This clip's, most probable first. On /classify, or with include=predictions."),
        ]
    ]
    descriptor: NotRequired[
        Annotated[
            Vectors,
            Field(
                description="4096 numbers of this clip (pool5: 8192), not normalised. On /features, or with include=features; "
                "not with vectors=video.",
                examples=[VECTOR],
            ),
        ]
    ]
    picture: NotRequired[
        Annotated[
            str,
            Field(
                description="The clip's middle frame as the network sees it, resized, cropped and upright: a JPEG of 112x112 in "
                "base64. With include=pictures.",
                examples=[PICTURE],
            ),
        ]
    ]


@always("predictions")
class ClipPredictions(ClipOut):
    """One clip on /classify."""


class DecoderOut(TypedDict):
    """What decoded the video."""

    name: Annotated[str, Field(description="Of the library.", examples=["PyAV"])]
    version: Annotated[str, Field(description="Of the library.", examples=["18.1.0"])]


class VideoSaid(TypedDict):
    """What the bytes and their header say of a video."""

    sha256: Annotated[str, Field(description="Of the bytes received.", examples=["3b" * 32])]
    size_bytes: Annotated[int, Field(ge=1, description="Of the file.", examples=[294566])]
    container: Annotated[str, Field(description="The file's format, as FFmpeg names it.", examples=["avi"])]
    codec: Annotated[str, Field(description="As FFmpeg names it.", examples=["mpeg4"])]
    width: Annotated[int, Field(ge=1, description="In pixels, after rotation.", examples=[320])]
    height: Annotated[int, Field(ge=1, description="In pixels, after rotation.", examples=[240])]
    rotation: Annotated[
        int, Field(description="Degrees counter-clockwise by which frames were turned, as the file asks.", examples=[0])
    ]
    mirrored: Annotated[
        bool, Field(description="Whether left and right were swapped before turning, as the file asks.", examples=[False])
    ]
    fps: Annotated[
        float | None, Field(description="Frames per second, but for gaps; null where nothing says it.", examples=[25.0])
    ]
    resampled_fps: Annotated[
        float | None, Field(description="The option `fps`: to which the frames were resampled.", examples=[None])
    ]
    color_matrix: Annotated[
        str, Field(description="As the file names it; `unspecified` is taken for BT.601.", examples=["unspecified"])
    ]
    transfer: Annotated[
        str, Field(description="Transfer characteristics, as FFmpeg names them: `arib-std-b67` is HLG.", examples=["unspecified"])
    ]
    primaries: Annotated[
        str, Field(description="Colour primaries, as FFmpeg names them: `smpte432` is Display P3.", examples=["unspecified"])
    ]
    duration_sec: Annotated[
        float | None,
        Field(description="From the first frame to the end of the last; as claimed where only a part was read.", examples=[6.56]),
    ]


class NumFramesClaimed(TypedDict):
    """What the file says before it has been read."""

    header: Annotated[int | None, Field(description="What the file claims; null where it claims nothing.", examples=[164])]


class NumFrames(NumFramesClaimed):
    """Three counts that should be one."""

    decoded: Annotated[int, Field(ge=1, description="As far as the file was read.", examples=[164])]
    used: Annotated[int, Field(ge=1, description="Frames that are in at least one clip.", examples=[160])]


class VideoOpened(VideoSaid):
    """The video as its file describes it."""

    num_frames: NumFramesClaimed


class VideoOut(VideoSaid):
    """The video as it was found."""

    variable_frame_rate: Annotated[bool, Field(description="Whether frames last differently long.", examples=[False])]
    num_frames: NumFrames
    decoder: DecoderOut


class WarningOut(TypedDict):
    """Something the answer rests on that its reader should know."""

    code: Annotated[str, Field(description="Stable; docs/http-api.md lists all.", examples=["tail_frames_dropped"])]
    message: Annotated[
        str,
        Field(description="In words.", examples=["The last 4 frames fill no clip and were left out. To keep them: tail=pad."]),
    ]


class TimingsOut(TypedDict):
    """Milliseconds. The stages overlap, so they do not add up to the total."""

    fetch: Annotated[float, Field(description="Until the video was here whole.", examples=[2.1])]
    decode: Annotated[float, Field(description="The decoder's work.", examples=[38.4])]
    queue: Annotated[float, Field(description="The longest wait of one clip for its batch.", examples=[410.0])]
    model: Annotated[float, Field(description="The batches that held the video's clips.", examples=[2900.5])]
    total: Annotated[float, Field(description="From the first byte's arrival to the answer.", examples=[2961.7])]


class Identified(TypedDict):
    """Names under which an answer can be stored."""

    id: Annotated[Id, Field(description="Of the video: the same for the same bytes, model and options.")]
    custom_id: NotRequired[Annotated[str, Field(description="What the request said.", examples=["clip 17"])]]


class Provenance(TypedDict):
    """What the numbers rest on."""

    model: ModelOut
    video: VideoOut
    warnings: Annotated[list[WarningOut], Field(description="Empty where nothing is odd.")]
    timings_ms: TimingsOut


class Outputs(TypedDict, total=False):
    """What was computed of the whole video, as far as it was asked for."""

    predictions: Annotated[
        list[PredictionOut],
        Field(description="The video's labels, most probable first. On /classify, or with include=predictions."),
    ]
    descriptor: Annotated[
        Vectors,
        Field(
            description="4096 numbers (pool5: 8192): the mean over clips of the layer's output, L2-normalised unless "
            "normalize=none. On /features, or with include=features.",
            examples=[VECTOR],
        ),
    ]
    segments: Annotated[list[SegmentOut], Field(description="On /classify, with include=segments.")]


class Answer(Identified, Outputs, Provenance):
    """All of an answer but its clips."""


@always("predictions")
class ClassifyAnswer(Answer):
    """What the video shows."""

    clips: NotRequired[Annotated[list[ClipPredictions], Field(description="With include=clips.")]]


@always("descriptor")
class FeaturesAnswer(Answer):
    """What the video is, in numbers."""

    clips: NotRequired[Annotated[list[ClipOut], Field(description="With include=clips.")]]


class ArraysProvenance(Identified, Outputs, Provenance):
    """The string of JSON in an npz file that says what its arrays are."""

    options: dict[str, Any]


class VideoLine(Identified):
    """The first line of a stream."""

    type: Annotated[Literal["video"], Field(description="Of the line.", examples=["video"])]
    model: ModelOut
    video: VideoOpened
    warnings: Annotated[list[WarningOut], Field(description="What is odd already; the summary has all.")]
    num_clips: Annotated[int, Field(ge=1, description="How many will come, if the file says the truth.", examples=[19])]


class ClipLine(ClipOut):
    """A clip, as soon as it is computed."""

    type: Annotated[Literal["clip"], Field(description="Of the line.", examples=["clip"])]
    progress: Annotated[float, Field(ge=0, le=1, description="The part of the clips that is done.", examples=[0.0526])]


class HeartbeatLine(TypedDict):
    """Nothing new, and the work goes on."""

    type: Annotated[Literal["heartbeat"], Field(description="Of the line.", examples=["heartbeat"])]


class SummaryLine(Answer):
    """The last line: the answer, without its clips."""

    type: Annotated[Literal["summary"], Field(description="Of the line.", examples=["summary"])]


Line = Annotated[
    VideoLine | ClipLine | HeartbeatLine | SummaryLine | ErrorLine, Field(discriminator="type", description="A line.")
]
