"""What goes in and out, with the descriptions and examples that become the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from service import c3d
from service.clips import Tail

Vector = list[float]


class Options(BaseModel):
    """What both endpoints take, in the query or as form fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_stride: int = Field(
        c3d.CLIP_STRIDE,
        ge=1,
        le=100_000,
        description="Frames between clip starts. The paper's 16-frame clips overlap by 8 frames.",
    )
    tail: Tail = Field(
        "drop",
        description="The frames behind the last whole clip: `drop` them, or `pad` one more clip by repeating the last frame.",
    )
    include: list[Literal["clips"]] = Field([], description="`clips` adds one entry for each clip.")

    @field_validator("include", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """``include=a,b`` is ``include=a&include=b``."""
        return [part for item in value for part in item.split(",")] if isinstance(value, list) else value


class ClassifyOptions(Options):
    """What POST /classify takes."""

    top_k: int = Field(5, ge=1, le=c3d.NUM_CLASSES, description="How many labels, most probable first.")


class FeaturesOptions(Options):
    """What POST /features takes."""

    layer: Literal["fc6", "fc7"] = Field("fc6", description="The layer whose output, after its ReLU, is the descriptor.")
    normalize: Literal["l2", "none"] = Field(
        "l2",
        description="`l2`: the mean over clips, divided by its L2 norm. `none`: the plain mean. Clips are never normalised.",
    )


class PredictionOut(BaseModel):
    """A label of the model."""

    label: str = Field(description="The class in words.", examples=["sandboarding"])
    score: float = Field(ge=0, le=1, description="Its probability: the mean of the clips' softmax outputs.", examples=[0.8731])
    class_id: int = Field(ge=0, description="The class's index: the line of GET /labels, counted from 0.", examples=[184])


class SpanOut(BaseModel):
    """Where a clip lies in the video: half-open, in frames and seconds."""

    index: int = Field(ge=0, examples=[0])
    start_sec: float = Field(description="When its first frame is shown, in seconds from the first frame.", examples=[0.0])
    end_sec: float = Field(
        description="When the frame after it is shown; at the video's end, when its last frame ends.", examples=[0.64]
    )
    start_frame: int = Field(ge=0, description="Counted in decoded frames.", examples=[0])
    end_frame: int = Field(ge=1, examples=[16])
    num_padded_frames: int = Field(ge=0, le=15, description="How many of the 16 repeat the last frame.", examples=[0])


class ClipPredictions(SpanOut):
    """One clip's labels."""

    predictions: list[PredictionOut]


class ClipFeatures(SpanOut):
    """One clip's vector."""

    descriptor: Vector = Field(
        description="The layer's 4096 numbers for this clip, not normalised.", examples=[[0.0, 1.52, 0.31]]
    )


class ModelOut(BaseModel):
    """What computed the answer. With the same bytes and this block the numbers can be had again."""

    name: str = Field(examples=["sports1m"])
    weights: str = Field(
        description="`sports1m`, `stand-in` (random numbers), or another name.",
        examples=["sports1m"],
    )
    weights_sha256: str = Field(description="Over the tensors, whatever file they came from.", examples=["9f" * 32])
    preprocessing: str = Field(
        description="`c3d-sports1m`: crop columns from 29. `c3d-ucf101-mean`: from 30, as many ports do.",
        examples=["c3d-sports1m"],
    )
    mean: str = Field(description="The mean cube that is subtracted.", examples=["sports1m"])
    precision: str = Field(examples=["float32"])
    backend: str = Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])
    version: str = Field(description="Of this service.", examples=["0.1.0"])


class NumFrames(BaseModel):
    """Three counts that should be one."""

    header: int | None = Field(description="What the file claims; null where it claims nothing.", examples=[164])
    decoded: int = Field(ge=1, examples=[164])
    used: int = Field(ge=1, description="Frames that are in at least one clip.", examples=[160])


class DecoderOut(BaseModel):
    """What decoded the video."""

    name: str = Field(examples=["PyAV"])
    version: str = Field(examples=["18.1.0"])


class VideoOut(BaseModel):
    """The video as it was found."""

    sha256: str = Field(description="Of the bytes received.", examples=["3b" * 32])
    size_bytes: int = Field(ge=1, examples=[294566])
    container: str = Field(examples=["avi"])
    codec: str = Field(examples=["mpeg4"])
    width: int = Field(ge=1, description="In pixels, after rotation.", examples=[320])
    height: int = Field(ge=1, examples=[240])
    rotation: int = Field(description="Degrees counter-clockwise by which frames were turned, as the file asks.", examples=[0])
    fps: float | None = Field(description="Average frames per second; null where the file does not say.", examples=[25.0])
    variable_frame_rate: bool = Field(examples=[False])
    color_matrix: str = Field(
        description="The colour matrix the file names; `unspecified` is converted as BT.601.", examples=["unspecified"]
    )
    duration_sec: float = Field(description="From the first frame to the end of the last one, as decoded.", examples=[6.56])
    num_frames: NumFrames
    decoder: DecoderOut


class WarningOut(BaseModel):
    """Something the answer rests on that its reader should know."""

    code: str = Field(description="Stable; the README lists all.", examples=["tail_frames_dropped"])
    message: str = Field(examples=["The last 4 frames fill no clip and were left out; tail=pad keeps them."])


class TimingsOut(BaseModel):
    """Milliseconds. The stages overlap, so they do not add up to the total."""

    fetch: float = Field(description="Until the video was here whole.", examples=[2.1])
    decode: float = Field(description="The decoder's work.", examples=[38.4])
    queue: float = Field(description="The longest wait of one clip for its batch.", examples=[410.0])
    model: float = Field(description="The batches that held the video's clips.", examples=[2900.5])
    total: float = Field(examples=[2961.7])


class Answer(BaseModel):
    """What both answers hold."""

    model: ModelOut
    video: VideoOut
    warnings: list[WarningOut]
    timings_ms: TimingsOut


class ClassifyAnswer(Answer):
    """What the video shows."""

    predictions: list[PredictionOut] = Field(description="The video's labels, most probable first.")
    clips: list[ClipPredictions] | None = Field(None, description="With include=clips.")


class FeaturesAnswer(Answer):
    """What the video is, in numbers."""

    descriptor: Vector = Field(
        min_length=c3d.DESCRIPTOR_SIZE,
        max_length=c3d.DESCRIPTOR_SIZE,
        description="4096 numbers: the mean over clips of the layer's output, L2-normalised unless normalize=none.",
        examples=[[0.0, 0.0213, 0.0087]],
    )
    clips: list[ClipFeatures] | None = Field(None, description="With include=clips.")


class ProblemOut(BaseModel):
    """RFC 9457: what went wrong."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["No video in the file"])
    status: int = Field(examples=[422])
    code: str = Field(description="Stable; the README lists all.", examples=["no_video_stream"])
    detail: str = Field(description="What to do about it.", examples=["The file holds no video, only sound or a still picture."])
    request_id: str = Field(description="Under which the log holds the cause.", examples=["0f4c2b7de1a94a57a6a2b1d9c3e85f60"])


class StatusOut(BaseModel):
    """A probe's answer."""

    status: str = Field(examples=["ready"])


class InfoOut(BaseModel):
    """What runs here."""

    model: dict[str, Any] = Field(
        description="The card of the loaded model.", examples=[{"name": "sports1m", "num_classes": 487}]
    )
    backend: str = Field(examples=["tensorflow 2.21.0 on cpu"])
    precision: str = Field(examples=["float32"])
    batch_sizes: list[int] = Field(examples=[[1, 2, 4]])
    version: str = Field(examples=["0.1.0"])
