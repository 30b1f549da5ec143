"""What goes out, with the descriptions and examples that become the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from model_store import c3d

Numbers = Annotated[list[float], Field(min_length=c3d.DESCRIPTOR_SIZE, max_length=c3d.DESCRIPTOR_SIZE)]
Vector = Numbers | Annotated[str, Field(description="With encoding_format=base64: little-endian float32.")]
Id = Annotated[UUID, Field(examples=["6c0d4f5e-3a86-5a0c-9c61-9d6b7f2f3a10"])]


class PredictionOut(BaseModel):
    """A label of the model."""

    label: str = Field(description="The class in words.", examples=["sandboarding"])
    score: float = Field(ge=0, le=1, description="Its probability: the mean of the clips' softmax outputs.", examples=[0.8731])
    class_id: int = Field(ge=0, description="The class's index: the line of GET /labels, counted from 0.", examples=[184])


class SegmentOut(BaseModel):
    """Neighbouring clips whose most probable label is the same."""

    label: str = Field(description="Their label.", examples=["sandboarding"])
    class_id: int = Field(ge=0, description="Its class.", examples=[184])
    start_sec: float = Field(description="Where the first of them starts.", examples=[0.0])
    end_sec: float = Field(description="Where the last of them ends.", examples=[2.24])
    score: float = Field(ge=0, le=1, description="The mean of the label's probabilities.", examples=[0.7214])
    peak_score: float = Field(ge=0, le=1, description="The highest of them.", examples=[0.9127])
    num_clips: int = Field(ge=1, description="How many they are.", examples=[6])


class SpanOut(BaseModel):
    """Where a clip lies in the video: half-open, in frames and seconds."""

    id: Id = Field(description="Of the clip: the same for the same bytes, model, options and place.")
    index: int = Field(ge=0, description="Counted in clips of this answer.", examples=[0])
    start_sec: float = Field(description="When its first frame is shown, in seconds from the first frame.", examples=[0.0])
    end_sec: float = Field(
        description="When the frame after it is shown; at the video's end, when its last frame ends.", examples=[0.64]
    )
    start_frame: int = Field(ge=0, description="Counted in decoded frames.", examples=[0])
    end_frame: int = Field(ge=1, description="The frame after its last one.", examples=[16])
    num_padded_frames: int = Field(ge=0, le=15, description="How many of the 16 repeat the last frame.", examples=[0])
    num_damaged_frames: int = Field(ge=0, le=16, description="How many did not decode as they should.", examples=[0])


ClipLabels = Annotated[list[PredictionOut], Field(description="This clip's, most probable first.")]


class ClipPredictions(SpanOut):
    """One clip's labels."""

    predictions: ClipLabels
    descriptor: Vector | None = Field(None, description="With include=features.", examples=[[0.0, 1.52, 0.31]])


class ClipFeatures(SpanOut):
    """One clip's vector."""

    descriptor: Vector = Field(description="4096 numbers of this clip, not normalised.", examples=[[0.0, 1.52, 0.31]])
    predictions: ClipLabels | None = Field(None, description="With include=predictions.")


class ModelOut(BaseModel):
    """What computed the answer. With the same bytes and this block the numbers can be had again."""

    name: str = Field(description="Of the model in the store.", examples=["sports1m"])
    weights: str = Field(
        description="`sports1m`, `stand-in` (random numbers), or another name.",
        examples=["sports1m"],
    )
    weights_sha256: str = Field(description="Over the tensors, whatever file they came from.", examples=["9f" * 32])
    preprocessing: str = Field(
        description="The preset that the fields below come from: the original's, or a port's by name.",
        examples=["c3d-sports1m"],
    )
    keep_aspect: bool = Field(
        description="Whether frames keep their aspect: the short side becomes frame_rows.", examples=[False]
    )
    frame_rows: int = Field(description="Rows that a frame is resized to.", examples=[128])
    frame_columns: int = Field(description="Columns that a frame is resized to.", examples=[171])
    crop_top: int = Field(description="Row where the crop of 112x112 starts; central where the aspect is kept.", examples=[8])
    crop_left: int = Field(description="Column where the crop starts, likewise.", examples=[29])
    color_tags: str = Field(description="`honour` a file's colour matrix, or `ignore` it: BT.601 always.", examples=["honour"])
    channel_order: str = Field(description="What the network was trained on.", examples=["BGR"])
    scale: float = Field(description="What grey levels are multiplied by behind the mean.", examples=[1.0])
    mean: str = Field(description="The mean that is subtracted.", examples=["sports1m"])
    mean_sha256: str = Field(description="Of the mean that is subtracted.", examples=["3b" * 32])
    pool5: str = Field(description="`caffe`: padded on the right and bottom only; `symmetric`: all round.", examples=["caffe"])
    precision: str = Field(description="What the network computed in.", examples=["float32"])
    backend: str = Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])
    calibration_sha256: str | None = Field(None, description="Of int8: which calibration.", examples=["5c" * 32])
    version: str = Field(description="Of this service.", examples=["0.1.0"])


class NumFrames(BaseModel):
    """Three counts that should be one."""

    header: int | None = Field(description="What the file claims; null where it claims nothing.", examples=[164])
    decoded: int = Field(ge=1, description="As far as the file was read.", examples=[164])
    used: int = Field(ge=1, description="Frames that are in at least one clip.", examples=[160])


class DecoderOut(BaseModel):
    """What decoded the video."""

    name: str = Field(description="Of the library.", examples=["PyAV"])
    version: str = Field(description="Of the library.", examples=["18.1.0"])


class VideoSaid(BaseModel):
    """What the bytes and their header say of a video."""

    sha256: str = Field(description="Of the bytes received.", examples=["3b" * 32])
    size_bytes: int = Field(ge=1, description="Of the file.", examples=[294566])
    container: str = Field(description="The file's format, as FFmpeg names it.", examples=["avi"])
    codec: str = Field(description="As FFmpeg names it.", examples=["mpeg4"])
    width: int = Field(ge=1, description="In pixels, after rotation.", examples=[320])
    height: int = Field(ge=1, description="In pixels, after rotation.", examples=[240])
    rotation: int = Field(description="Degrees counter-clockwise by which frames were turned, as the file asks.", examples=[0])
    fps: float | None = Field(description="Average frames per second; null where the file does not say.", examples=[25.0])
    color_matrix: str = Field(description="As the file names it; `unspecified` is taken for BT.601.", examples=["unspecified"])
    duration_sec: float | None = Field(
        description="From the first frame to the end of the last; as claimed where only a part was read.", examples=[6.56]
    )


class VideoOut(VideoSaid):
    """The video as it was found."""

    variable_frame_rate: bool = Field(description="Whether frames last differently long.", examples=[False])
    num_frames: NumFrames
    decoder: DecoderOut


class WarningOut(BaseModel):
    """Something the answer rests on that its reader should know."""

    code: str = Field(description="Stable; docs/http-api.md lists all.", examples=["tail_frames_dropped"])
    message: str = Field(description="In words.", examples=["At the end 4 frames fill no clip and were left out."])


class TimingsOut(BaseModel):
    """Milliseconds. The stages overlap, so they do not add up to the total."""

    fetch: float = Field(description="Until the video was here whole.", examples=[2.1])
    decode: float = Field(description="The decoder's work.", examples=[38.4])
    queue: float = Field(description="The longest wait of one clip for its batch.", examples=[410.0])
    model: float = Field(description="The batches that held the video's clips.", examples=[2900.5])
    total: float = Field(description="From the first byte's arrival to the answer.", examples=[2961.7])


class Identified(BaseModel):
    """Names under which an answer can be stored."""

    id: Id = Field(description="Of the video: the same for the same bytes, model and options.")
    custom_id: str | None = Field(None, description="What the request said.", examples=["clip 17"])


class Answer(Identified):
    """What both answers hold."""

    model: ModelOut
    video: VideoOut
    warnings: list[WarningOut] = Field(description="None where nothing is odd.")
    timings_ms: TimingsOut


Labels = Annotated[list[PredictionOut], Field(description="The video's labels, most probable first.")]


class ClassifyAnswer(Answer):
    """What the video shows."""

    predictions: Labels
    descriptor: Vector | None = Field(None, description="With include=features.", examples=[[0.0, 0.0213, 0.0087]])
    segments: list[SegmentOut] | None = Field(None, description="With include=segments.")
    clips: list[ClipPredictions] | None = Field(None, description="With include=clips.")


class FeaturesAnswer(Answer):
    """What the video is, in numbers."""

    descriptor: Vector = Field(
        description="4096 numbers: the mean over clips of the layer's output, L2-normalised unless normalize=none.",
        examples=[[0.0, 0.0213, 0.0087]],
    )
    predictions: Labels | None = Field(None, description="With include=predictions.")
    clips: list[ClipFeatures] | None = Field(None, description="With include=clips.")


class ProblemOut(BaseModel):
    """RFC 9457: what went wrong."""

    type: str = Field(description="Always about:blank: the code says what a type would.", examples=["about:blank"])
    title: str = Field(description="The code in words.", examples=["No video in the file"])
    status: int = Field(description="The HTTP status.", examples=[422])
    code: str = Field(description="Stable; docs/http-api.md lists all.", examples=["no_video_stream"])
    detail: str = Field(description="What to do about it.", examples=["The file holds no video, only sound or a still picture."])
    request_id: str = Field(description="Under which the log holds the cause.", examples=["0f4c2b7de1a94a57a6a2b1d9c3e85f60"])
    error: str | None = Field(None, description="Under /v2, whose protocol wants it: the detail again.", examples=["Ask again."])


class NumFramesClaimed(BaseModel):
    """What the file says before it has been read."""

    header: int | None = Field(description="Null where it claims nothing.", examples=[164])


class VideoOpened(VideoSaid):
    """The video as its file describes it."""

    num_frames: NumFramesClaimed


class VideoLine(Identified):
    """The first line of a stream."""

    type: Literal["video"] = Field(description="Of the line.", examples=["video"])
    model: ModelOut
    video: VideoOpened
    warnings: list[WarningOut] = Field(description="What is odd already; the summary has all.")
    num_clips: int = Field(ge=1, description="How many will come, if the file says the truth.", examples=[19])


class ClipLine(SpanOut):
    """A clip, as soon as it is computed."""

    type: Literal["clip"] = Field(description="Of the line.", examples=["clip"])
    predictions: ClipLabels | None = Field(None, description="On /classify, or with include=predictions.")
    descriptor: Vector | None = Field(None, description="On /features, or with include=features.", examples=[[0.0, 1.52, 0.31]])
    progress: float = Field(ge=0, le=1, description="The part of the clips that is done.", examples=[0.0526])


class HeartbeatLine(BaseModel):
    """Nothing new, and the work goes on."""

    type: Literal["heartbeat"] = Field(description="Of the line.", examples=["heartbeat"])


class SummaryLine(Answer):
    """The last line: the answer, without its clips."""

    type: Literal["summary"] = Field(description="Of the line.", examples=["summary"])
    predictions: Labels | None = Field(None, description="On /classify, or with include=predictions.")
    descriptor: Vector | None = Field(
        None, description="On /features, or with include=features.", examples=[[0.0, 0.0213, 0.0087]]
    )
    segments: list[SegmentOut] | None = Field(None, description="With include=segments.")


class ErrorLine(BaseModel):
    """The last line where something went wrong."""

    type: Literal["error"] = Field(description="Of the line.", examples=["error"])
    error: ProblemOut


Line = Annotated[
    VideoLine | ClipLine | HeartbeatLine | SummaryLine | ErrorLine, Field(discriminator="type", description="A line.")
]
